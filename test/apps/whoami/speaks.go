package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"
)

// Apps that do not speak HTTP on their port are what users point proxies at by
// mistake. These are what they say to a request, each before it hangs up.
var speaks = map[string]string{
	"alert":   "\x15\x03\x01\x00\x02\x02\x46",                                                                                       // TLS that takes a request for a broken record
	"h2c":     "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x01", // SETTINGS, GOAWAY: HTTP/2 and nothing else
	"ssh":     "SSH-2.0-OpenSSH_9.6\r\n",
	"nothing": "",
}

// serveAs speaks what on l: "http", "tls" with a certificate of
// its own, or one of speaks.
func serveAs(what string, srv *http.Server, l net.Listener) error {
	switch text, known := speaks[what]; {
	case what == "http":
		return srv.Serve(l)
	case what == "tls":
		cert, err := selfSigned()
		if err != nil {
			return err
		}
		return srv.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
	case known:
		return say(text, l)
	}
	return fmt.Errorf("speaks %q: want http, tls, alert, h2c, ssh or nothing", what)
}

// say answers everybody with text.
func say(text string, l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			c.Read(make([]byte, 64<<10)) // what is left unread would be answered by a reset
			c.Write([]byte(text))
		}()
	}
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"whoami"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
