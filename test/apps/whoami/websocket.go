package main

import (
	"log"
	"net/http"

	"github.com/coder/websocket"
)

// websocket greets with the container's id and then echoes every message, so
// that a client knows who holds the other end and that it is still the same.
func (a *app) websocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		log.Printf("upgrade refused: %v", err)
		return
	}
	defer c.CloseNow()
	ctx := r.Context()
	if err := c.Write(ctx, websocket.MessageText, []byte(a.container)); err != nil {
		return
	}
	for {
		kind, msg, err := c.Read(ctx)
		if err != nil {
			return
		}
		if err := c.Write(ctx, kind, msg); err != nil {
			return
		}
	}
}
