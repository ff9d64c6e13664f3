package h1

import "net/url"

// poisoned is what a handler that keeps what is not his finds in it.
const poisoned = "\xdb\xdb POISON \xdb\xdb"

// poison fills what will be used again, until the next request comes.
func (d *desk) poison() {
	d.poisoned = true
	r := d.req
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = poisoned, poisoned, -1, -1
	r.Host, r.RemoteAddr, r.RequestURI, r.Pattern = poisoned, poisoned, poisoned, poisoned
	d.url = url.URL{Scheme: poisoned, Host: poisoned, Path: poisoned, RawQuery: poisoned}
	r.URL, r.ContentLength, r.Close = &d.url, -1, true
	d.coding[0] = poisoned
	d.fields.Poison(poisoned)
	for i := range d.in {
		if i < d.from || i >= d.to {
			d.in[i] = poisoned[0]
		}
	}
	if d.w.own != nil {
		d.w.own[poisoned] = []string{poisoned}
	}
}

// cure makes a desk that was poisoned ready for a request.
func (d *desk) cure() {
	d.poisoned = false
	*d.req = d.blank
	d.url = url.URL{}
	clear(d.w.own)
}
