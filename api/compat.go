package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"freeway/internal/access"
	"freeway/proxy"
)

// Compat is the `compat:` section: listeners that speak the APIs of other
// proxy pools, so that crawlers written for those run unchanged. The same
// doors are always open below /compat/NAME/ of the admin API. The listeners
// ask for no token, which those crawlers could not send.
type Compat struct {
	JHAO104          string         `yaml:"jhao104"`          // host:port that speaks jhao104/proxy_pool, usually 127.0.0.1:5010; empty: none
	Python3WebSpider string         `yaml:"python3webspider"` // host:port that speaks Python3WebSpider/ProxyPool, usually 127.0.0.1:5555; empty: none
	Scylla           string         `yaml:"scylla"`           // host:port that speaks scylla, usually 127.0.0.1:8899; empty: none
	Henson           string         `yaml:"henson"`           // host:port that speaks henson/proxypool, usually 127.0.0.1:3000; empty: none
	APIKey           proxy.Secret   `yaml:"api_key"`          // what python3webspider asks for in the header API-KEY; empty: nothing
	AllowClients     []netip.Prefix `yaml:"allow_clients"`    // whom the listeners serve; empty: loopback only, and then they listen nowhere else
}

// CompatNames are the doors, as in /compat/NAME/ and in the configuration.
func CompatNames() []string { return []string{"jhao104", "python3webspider", "scylla", "henson"} }

// Listeners returns host:port by door, those that are configured.
func (c Compat) Listeners() map[string]string {
	all := map[string]string{"jhao104": c.JHAO104, "python3webspider": c.Python3WebSpider, "scylla": c.Scylla, "henson": c.Henson}
	for name, listen := range all {
		if listen == "" {
			delete(all, name)
		}
	}
	return all
}

// Validate reports every mistake, each beginning with the key it is about.
func (c Compat) Validate() error {
	var errs []error
	seen := map[string]string{}
	listeners := c.Listeners()
	for _, name := range CompatNames() {
		listen, on := listeners[name]
		if !on {
			continue
		}
		host, err := listenHost(listen)
		switch other := seen[listen]; {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		case other != "" && !strings.HasSuffix(listen, ":0"):
			errs = append(errs, fmt.Errorf("%s: %s is that of compat.%s already", name, listen, other))
		case !isLoopback(host) && len(c.AllowClients) == 0:
			errs = append(errs, fmt.Errorf("%s: %s is not a loopback address and everybody would be served; set compat.allow_clients or listen on 127.0.0.1", name, listen))
		}
		seen[listen] = name
	}
	return errors.Join(errs...)
}

// allows reports whether a listener serves a client.
func (c Compat) allows(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	a := ap.Addr().Unmap().WithZone("")
	return a.IsLoopback() || slices.ContainsFunc(c.AllowClients, func(p netip.Prefix) bool { return p.Contains(a) })
}

// door is what the four drop-in APIs share: they show live HTTP proxies.
type door struct {
	api    *API
	popped *resting
	key    string // of python3webspider; "": none
}

// doors builds the handlers by name; each expects paths from its own root.
func (a *API) doors(c Compat) map[string]http.Handler {
	d := &door{api: a, popped: &resting{until: map[proxy.Endpoint]time.Time{}}, key: c.APIKey.Reveal()}
	return map[string]http.Handler{"jhao104": d.jhao104(), "python3webspider": d.webSpider(), "scylla": d.scylla(), "henson": d.henson()}
}

// mountDoors opens the doors below /compat/.
func (a *API) mountDoors(mux *chi.Mux) {
	for name, h := range a.compat {
		prefix := "/compat/" + name
		mux.Handle(prefix, http.RedirectHandler(prefix+"/", http.StatusPermanentRedirect))
		mux.Handle(prefix+"/*", http.StripPrefix(prefix, guardDoor(h)))
	}
}

// guardDoor keeps two things from the calls below /compat/ that change
// something though they are GETs: pages of other sites, and tokens that may only
// look.
func guardDoor(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changes := slices.Contains([]string{"pop", "delete"}, strings.Trim(r.URL.Path, "/"))
		switch {
		case foreign(r):
			deny(w, r, access.CrossOrigin)
		case changes && access.From(r.Context()).Role < access.Operator:
			deny(w, r, access.TooFew)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// foreign reports whether a page of another origin makes a browser ask.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

// Door returns the handler of a listener of its own, nil for names that are
// not in CompatNames. It asks for no token, only for an allowed client.
func (a *API) Door(name string, c Compat) http.Handler {
	h := a.compat[name]
	if h == nil {
		return nil
	}
	return a.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		switch {
		case !c.allows(r.RemoteAddr):
			writeProblem(w, http.StatusForbidden, "this address is not in compat.allow_clients")
		case !a.hosts.Allow(r.Host):
			writeProblem(w, http.StatusForbidden, "this listener does not answer to that Host; use its IP address, localhost, or add the name to admin.hosts")
		case foreign(r):
			writeProblem(w, http.StatusForbidden, "requests from pages of another origin are refused")
		default:
			h.ServeHTTP(w, r)
		}
	}))
}

// get routes GET of the paths, with and without a slash at the end.
func (d *door) get(mux *http.ServeMux, path string, h http.HandlerFunc) {
	mux.HandleFunc("GET "+path+"{$}", h)
	if trimmed := strings.TrimSuffix(path, "/"); trimmed != path && trimmed != "" {
		mux.HandleFunc("GET "+trimmed, h)
	}
}

// wanted are the live HTTP proxies, with https those that tunnel to port 443.
func wanted(https bool) proxy.Filter {
	f := proxy.Filter{Protocols: []proxy.Protocol{proxy.HTTP}, States: []proxy.State{proxy.Live}}
	if https {
		f.Tunnel = proxy.Yes
	}
	return f
}

// draw picks n as the gateway would, leaving out what was popped.
func (d *door) draw(ctx context.Context, f proxy.Filter, n int) ([]proxy.Entry, error) {
	return d.api.draw(ctx, proxy.Want{Filter: f, Avoid: d.popped.list(time.Now())}, n, 0)
}

// all lists what draw could give, best first.
func (d *door) all(f proxy.Filter) []proxy.Entry {
	now := time.Now()
	return slices.DeleteFunc(d.api.env.Pool.Usable(proxy.Want{Filter: f, Pools: d.api.pools(f)}), func(e proxy.Entry) bool { return d.popped.has(e.Endpoint, now) })
}

// hostPort is the form in which these APIs name a proxy.
func hostPort(ep proxy.Endpoint) string { return net.JoinHostPort(ep.Host, fmt.Sprint(ep.Port)) }

// writeFlask answers with JSON in the shape that Flask's jsonify gives it.
func writeFlask(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client went away
}

// writeText answers with text, which those servers call HTML. Nothing in it
// is a tag unless it says so itself.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text)) //nolint:errcheck // the client went away
}

const (
	popRest   = 10 * time.Minute // how long a popped proxy is kept from the doors: about two rounds of the list fetcher of the original
	maxPopped = 10_000           // popped at once; beyond it the oldest come back early
)

// resting are the endpoints that clients have popped.
type resting struct {
	mu    sync.Mutex // protects until
	until map[proxy.Endpoint]time.Time
}

// add keeps an endpoint away until popRest has passed.
func (r *resting) add(ep proxy.Endpoint, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prune(now)
	if len(r.until) >= maxPopped {
		first := ep
		for e, t := range r.until {
			if old, ok := r.until[first]; !ok || t.Before(old) {
				first = e
			}
		}
		delete(r.until, first)
	}
	r.until[ep] = now.Add(popRest)
}

// has reports whether an endpoint is kept away.
func (r *resting) has(ep proxy.Endpoint, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until[ep].After(now)
}

// list returns all that are kept away.
func (r *resting) list(now time.Time) []proxy.Endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prune(now)
	out := make([]proxy.Endpoint, 0, len(r.until))
	for ep := range r.until {
		out = append(out, ep)
	}
	return out
}

// prune forgets those whose time is over; the caller holds mu.
func (r *resting) prune(now time.Time) {
	for ep, t := range r.until {
		if !t.After(now) {
			delete(r.until, ep)
		}
	}
}
