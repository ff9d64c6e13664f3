package exchange

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// keeper is an engine that uses one request for all it serves.
type keeper struct {
	context.Context
	req *http.Request
}

func (k *keeper) Keep(r *http.Request) { k.req = r }

func newKeeper() *keeper {
	k := &keeper{Context: context.Background()}
	k.req = httptest.NewRequest("GET", "/", nil).WithContext(k)
	return k
}

func TestARequestThatIsKeptKeepsItsExchange(t *testing.T) {
	k := newKeeper()
	a := &Arrival{Entry: "http"}
	var seen []*Exchange
	a.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = append(seen, Of(r)) })
	for range 3 {
		k.req.Header = http.Header{}
		a.ServeHTTP(httptest.NewRecorder(), k.req)
	}
	if len(seen) != 3 || seen[0] != seen[1] || seen[1] != seen[2] {
		t.Errorf("exchanges %p", seen)
	}
}

func TestAnExchangeThatDidNotEndIsNotUsedAgain(t *testing.T) {
	k := newKeeper()
	a := &Arrival{Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })}
	func() {
		defer func() { recover() }()
		a.ServeHTTP(httptest.NewRecorder(), k.req)
	}()
	first := Of(k.req)
	if second, _, _ := Begin(httptest.NewRecorder(), k.req); second == first {
		t.Error("the exchange of a handler that panicked was used again")
	}
}

// An exchange that is used again says nothing of the request before.
func TestNothingOfTheRequestBeforeIsLeft(t *testing.T) {
	k := newKeeper()
	x, _, r := Begin(httptest.NewRecorder(), k.req)
	x.Peer, x.Client = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	fill(reflect.ValueOf(x).Elem())
	x.OnHeader(func(int, http.Header) { t.Error("a hook of the request before ran") })
	x.forwarded[2] = "before"
	x.Response.Status = 0
	x.end()

	rec := httptest.NewRecorder()
	again, w, _ := Begin(rec, r)
	if again != x {
		t.Fatal("it was not used again")
	}
	w.WriteHeader(204)
	if rec.Code != 204 {
		t.Errorf("the head went to another writer: %d", rec.Code)
	}
	if time.Since(x.Start) > time.Minute {
		t.Error("it began with the request before")
	}
	x.Response = Writer{}
	x.Start = time.Time{}
	if want := (&Exchange{Context: k, kept: true}); !reflect.DeepEqual(x, want) {
		t.Errorf("left over: %+v", x)
	}
}

// fill sets every exported field of v that is a text, a number or a bool.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() {
			switch f.Kind() {
			case reflect.String:
				f.SetString("before")
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Int, reflect.Int64:
				f.SetInt(7)
			}
		}
	}
}
