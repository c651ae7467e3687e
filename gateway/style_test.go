package gateway_test

import (
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// TestStyles: the spellings of other gateways, by user, and what each refuses.
func TestStyles(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Users: []gateway.User{
		{Name: "di", Password: password("pw"), Style: "dataimpulse"}, {Name: "ws", Password: password("pw"), Style: "webshare"},
		{Name: "ip", Password: password("p_w"), Style: "iproyal"}, {Name: "bob", Password: password("pw")}, {Name: "ws-de", Password: password("pw"), Style: "freeway"},
	}}
	type wish struct {
		countries string
		session   string
		ttl       time.Duration
	}
	tenMinutes := 10 * time.Minute
	for _, tt := range []struct {
		login string
		want  wish
		code  string
	}{
		{"di:pw", wish{}, ""},
		{"di__cr.fr;sessttl.60:pw", wish{"FR", "", time.Hour}, ""},
		{"di__cr.fr,de;sessid.a1:pw", wish{"FR,DE", "a1", tenMinutes}, ""},
		{"di__CR.FR;strict;sessid.a1:pw", wish{"FR", "a1", tenMinutes}, ""},
		{"di__cr.fr;cr.de:pw", wish{}, "bad_options"},
		{"di__:pw", wish{}, "bad_options"},
		{"di__cr.fr;:pw", wish{}, "bad_options"},
		{"di__city.paris:pw", wish{}, "bad_options"},
		{"di__strict.x:pw", wish{}, "bad_options"},
		{"di__cr:pw", wish{}, "bad_options"},
		{"di-country-fr:pw", wish{}, "auth_required"}, // another user's name
		{"ws-us-1234:pw", wish{"US", "1234", tenMinutes}, ""},
		{"ws-us-rotate:pw", wish{"US", "", 0}, ""},
		{"ws-us-fr-7:pw", wish{"US,FR", "7", tenMinutes}, ""},
		{"ws-rotate:pw", wish{}, ""},
		{"ws-12:pw", wish{"", "12", tenMinutes}, ""},
		{"ws-us:pw", wish{"US", "", 0}, ""},
		{"ws-us-:pw", wish{}, "bad_options"},
		{"ws-country-us:pw", wish{}, "bad_options"},
		{"ws-1-2:pw", wish{}, "bad_options"},
		{"ws-xx9:pw", wish{}, "bad_options"},
		{"ws-de-session-a:pw", wish{"", "a", tenMinutes}, ""}, // the longest name is of another user, with another style
		{"ip_country-us_session-a1b2c3d4_lifetime-10m:p_w", wish{"US", "a1b2c3d4", tenMinutes}, ""},
		{"ip:p_w_country-us_session-a1b2c3d4_lifetime-5m", wish{"US", "a1b2c3d4", 5 * time.Minute}, ""},
		{"ip_country-us:p_w_session-x", wish{"US", "x", tenMinutes}, ""},
		{"ip_country-us:p_w_country-de", wish{}, "bad_options"},
		{"ip:p_w_state-ohio", wish{}, "bad_options"},
		{"ip:p_w_", wish{}, ""},
		{"ip:p_country-us", wish{}, "auth_required"},
		{"ip:_country-us", wish{}, "auth_required"},
		{"bob:pw_country-us", wish{}, "auth_required"},
	} {
		r := newRig(t, cfg)
		_, code := r.ask("http://example.com/", tt.login, "")
		if code == "no_upstream" {
			code = ""
		}
		if code != tt.code {
			t.Errorf("%s: %q, want %q", tt.login, code, tt.code)
			continue
		}
		if tt.code != "" {
			continue
		}
		w := r.p.asked()[0]
		got := wish{session: w.Session.ID, ttl: w.SessionTTL}
		for _, c := range w.Filter.Countries {
			if got.countries != "" {
				got.countries += ","
			}
			got.countries += c
		}
		if got != tt.want {
			t.Errorf("%s asks for %+v, want %+v", tt.login, got, tt.want)
		}
	}
}

// TestStylesOnSOCKS: the user name means the same on SOCKS5.
func TestStylesOnSOCKS(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{Users: []gateway.User{{Name: "di", Password: password(""), Style: "dataimpulse"}}})
	for name, want := range map[string]string{"di__cr.fr": "\x05\x02\x01\x00", "di__x.y": "\x05\x02\x01\x01"} {
		w := r.conn()
		w.send("\x05\x01\x02\x01" + string(rune(len(name))) + name + "\x00\x05\x01\x00\x01\x01\x01\x01\x01\x00\x50")
		w.expect(want)
	}
	r.p.await(t, "the request", func() bool { return len(r.p.wants) > 0 })
	if w := r.p.asked()[0]; len(w.Filter.Countries) != 1 || w.Filter.Countries[0] != "FR" || w.Session != (proxy.SessionKey{}) {
		t.Errorf("want %+v", w)
	}
}
