package web

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"freeway/proxy"
)

// useFields are what the form turns into a user name, in its order.
var useFields = []string{"country", "protocol", "anonymity", "tunnel", "max_latency", "min_score", "pool"}

// useData are the lines to copy.
type useData struct {
	Values map[string]string
	User   string // with its choices; "": none is needed
	Proxy  string // host:port
	HTTP   string // the gateway as a URL
	SOCKS  string
}

// sessionID is the grammar of session ids.
var sessionID = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

func (d *Dashboard) use(r *http.Request) (any, error) {
	in := r.URL.Query()
	out := useData{Values: map[string]string{}, Proxy: d.env.Gateway}
	var f proxy.Filter
	parts := []string{}
	for _, key := range useFields {
		v := strings.ToLower(strings.ReplaceAll(in.Get(key), " ", ""))
		if v == "" {
			continue
		}
		out.Values[key] = v
		if err := f.Set(key, v); err != nil {
			return nil, err
		}
		parts = append(parts, key, v)
	}
	if s := in.Get("session"); s != "" {
		if !sessionID.MatchString(s) {
			return nil, errors.New("session: use up to 64 letters, digits and underscores")
		}
		out.Values["session"] = s
		parts = append(parts, "session", s)
	}
	out.User = d.userName(parts)
	user := (*url.Userinfo)(nil)
	if out.User != "" {
		user = url.UserPassword(out.User, "")
	}
	out.HTTP = (&url.URL{Scheme: "http", User: user, Host: out.Proxy}).String()
	out.SOCKS = (&url.URL{Scheme: "socks5h", User: user, Host: out.Proxy}).String()
	return out, nil
}

// userName joins the choices; where a value has a dash, tildes separate.
func (d *Dashboard) userName(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	sep := "-"
	if strings.Contains(strings.Join(parts, ""), "-") {
		sep = "~"
	}
	return "any" + sep + strings.Join(parts, sep)
}
