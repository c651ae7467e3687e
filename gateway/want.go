package gateway

import (
	"net/url"
	"slices"
	"strings"

	"freeway/proxy"
)

// Refused says which answer of the gateway's own a request would get.
type Refused struct {
	Code   string // as in the header Freeway-Error
	Status int    // of the answer to an HTTP client
	Msg    string // for people
}

// Error gives code and reason.
func (e *Refused) Error() string { return e.Code + ": " + e.Msg }

// Want returns what a request for an address would ask of the Picker when it
// comes from a client with that user name, options included; passwords are not
// looked at. rawURL is http:// for a plain request, https:// or tcp://host:port
// or host:port for a tunnel. What would be refused is a *Refused. Want knows only the
// configuration; see Gateway.Want for addresses that may not be reached.
func Want(cfg Config, name, rawURL string) (proxy.Want, error) {
	if err := cfg.Validate(); err != nil {
		return proxy.Want{}, err
	}
	s := &settings{cfg: cfg.withDefaults()}
	for _, c := range s.cfg.Users {
		if s.users == nil {
			s.users = map[string]*user{}
		}
		s.users[c.Name] = newUser(c)
	}
	s.inherit(nil)
	want, r := s.explain(name, rawURL)
	return want, r.public()
}

// Want is the function Want with the present configuration, and it also
// refuses targets that clients may not reach.
func (g *Gateway) Want(user, rawURL string) (proxy.Want, error) {
	s := g.set.Load()
	want, r := s.explain(user, rawURL)
	if r == nil {
		r = g.checkTarget(s, want.Target)
	}
	return want, r.public()
}

// public makes an error for other packages of a refusal, nil of nil.
func (r *refusal) public() error {
	if r == nil {
		return nil
	}
	return &Refused{Code: r.code, Status: r.httpStatus(), Msg: r.msg}
}

// explain finds what a request would ask for, or what it would be refused with.
func (s *settings) explain(name, rawURL string) (proxy.Want, *refusal) {
	t, plain, r := targetOf(rawURL)
	if r != nil {
		return proxy.Want{}, r
	}
	w, r := s.identify(name)
	if r == nil {
		r = checkPort(&s.cfg, t)
	}
	if r != nil {
		return proxy.Want{}, r
	}
	var want proxy.Want
	s.want(&want, &w, &t, plain)
	if plain && s.cfg.PlainHTTP == refuse && !avoidPublic(&want) {
		return proxy.Want{}, refusePlain()
	}
	return want, nil
}

// targetOf reads the address of Want.
func targetOf(rawURL string) (t proxy.Target, plain bool, r *refusal) {
	if !strings.Contains(rawURL, "/") { // host:port, as in CONNECT
		rawURL = "tcp://" + rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.User != nil {
		return t, false, refusef(codeBadRequest, "not an address such as https://example.com/")
	}
	var port uint16
	switch u.Scheme {
	case "http":
		port, plain = 80, true
	case "https":
		port = 443
	case "tcp":
	default:
		return t, false, refusef(codeBadRequest, "the address begins with none of http://, https:// and tcp://, and is not host:port")
	}
	if t, err = proxy.ParseTarget(u.Host, port); err != nil {
		return t, false, refusef(codeBadRequest, err.Error())
	}
	t.TLS = !plain && t.TLS
	return t, plain, nil
}

// identify is authorize for somebody who is believed.
func (s *settings) identify(name string) (who, *refusal) {
	n, opt, err := parseUser(name, s.find())
	w := who{name: n, user: s.users[n], opt: opt}
	switch {
	case w.user == nil && s.users != nil && len(s.cfg.AllowClients) == 0:
		return w, refusef(codeAuth, "no such user")
	case err != nil:
		return w, refusef(codeBadOptions, err.Error())
	}
	return w, w.addOptions("", nil)
}

// want fills in what a request of an admitted client asks of the Picker.
func (s *settings) want(want *proxy.Want, w *who, t *proxy.Target, plain bool) {
	cfg := &s.cfg
	want.Filter, want.Target, want.Need, want.Pools = w.opt.Filter, *t, t.Needs(plain), cfg.Pools
	want.SessionTTL, want.Soft, want.Strict = w.opt.TTL, w.opt.Soft, w.opt.Strict
	if len(w.opt.Filter.Pools) > 0 {
		want.Pools = w.opt.Filter.Pools
	}
	if rule := ruleOf(s.rules, t.Host); rule != nil {
		want.MinInterval = rule.cfg.MinInterval
	}
	if w.opt.Session != "" && !w.opt.Rotate {
		want.Session = proxy.SessionKey{User: w.name, ID: w.opt.Session}
		if want.SessionTTL == 0 {
			want.SessionTTL = cfg.Session.TTL
		}
	}
}

// avoidPublic keeps a want away from public upstreams. It reports false when
// nothing else may be used.
func avoidPublic(w *proxy.Want) bool {
	w.Pools = slices.DeleteFunc(slices.Clone(w.Pools), func(p string) bool { return p == proxy.PublicPool })
	return len(w.Pools) > 0
}

// refuseCredentials is what Config.PlaintextCredentials answers.
func refuseCredentials() *refusal {
	return refusef(codeCredentials, "Authorization in plain HTTP through public upstreams is refused (plaintext_credentials)")
}

// refuseLoop answers a request of this program itself.
func refuseLoop() *refusal {
	return refusef(codeForbidden, "a check of this program has come back to it: an upstream leads here")
}

// refusePlain is what Config.PlainHTTP answers.
func refusePlain() *refusal {
	return refusef(codePlain, "plain HTTP through public upstreams is refused (plain_http)")
}
