package gateway_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freeway/gateway"
	"freeway/proxy"
)

func TestParseUser(t *testing.T) {
	t.Parallel()
	us := proxy.Filter{Countries: []string{"US"}}
	for _, c := range []struct {
		in, name string
		want     gateway.Options
	}{
		{"", "", gateway.Options{}},
		{"bob", "bob", gateway.Options{}},
		{"bob-country-us,de-session-a1-ttl-10m-strict", "bob", gateway.Options{Filter: proxy.Filter{Countries: []string{"US", "DE"}},
			Session: "a1", TTL: 10 * time.Minute, Strict: true}},
		{"bob~session~550e8400-e29b-41d4~country~us", "bob", gateway.Options{Filter: us, Session: "550e8400-e29b-41d4"}},
		{"bob-cc-US", "bob", gateway.Options{Filter: us}},
		{"bob-CR-us-SID-A_1-lifetime-2h", "bob", gateway.Options{Filter: us, Session: "A_1", TTL: 2 * time.Hour}},
		{"bob-res-us-sess-x-sesstime-30-soft", "bob", gateway.Options{Filter: us, Session: "x", TTL: 30 * time.Minute, Soft: true}},
		{"bob-sessid-x-sessionduration-30s-const", "bob", gateway.Options{Session: "x", TTL: 30 * time.Second, Strict: true}},
		{"bob-rotate", "bob", gateway.Options{Rotate: true}},
		{"bob-tag-t1-retry-2-hedge-off-replay-on", "bob", gateway.Options{Tag: "t1", Retry: 2, Hedge: proxy.No, Replay: proxy.Yes}},
		{"bob-retry-off", "bob", gateway.Options{Retry: 1}},
		{"bob-protocol-socks5-anonymity-elite-asn-AS24940-max_latency-800-min_score-0.5-tunnel-true", "bob", gateway.Options{
			Filter: proxy.Filter{Protocols: []proxy.Protocol{proxy.SOCKS5}, Anonymity: proxy.Elite, ASNs: []uint32{24940},
				MaxLatency: 800 * time.Millisecond, MinScore: 0.5, Tunnel: proxy.Yes}}},
		{"bob%2Dcountry%2Dus", "bob", gateway.Options{Filter: us}},
		{"bob%252d", "bob%2d", gateway.Options{}},
		{"-country-us", "", gateway.Options{Filter: us}},
	} {
		name, o, err := gateway.ParseUser(c.in)
		if diff := cmp.Diff(c.want, o, cmpopts.EquateEmpty()); err != nil || name != c.name || diff != "" {
			t.Errorf("ParseUser(%q) = %q, %v\n%s", c.in, name, err, diff)
		}
	}
}

func TestParseUserRefuses(t *testing.T) {
	t.Parallel()
	for in, word := range map[string]string{
		"bob-colour-red": "colour", "bob-country": "country", "bob-country-": "country", "bob-country-xyz": "country", "bob--us": `""`, "bob-": `""`,
		"bob-country-us-cc-de": "country", "bob-session-a-sid-b": "session", "bob-strict-strict": "strict", "bob-strict-soft": "soft",
		"bob-session-a-rotate": "rotate", "bob-ttl-0": "ttl", "bob-ttl-1d": "ttl", "bob-ttl-10ms": "ttl", "bob-ttl-25h": "ttl", "bob-ttl-99999999999": "ttl",
		"bob-session-a.b": "session", "bob-session-" + strings.Repeat("a", 65): "session", "bob-tag-x!": "tag", "bob-retry-17": "retry", "bob-retry--1": "retry",
		"bob-hedge-maybe": "hedge", "bob-min_score-2": "min_score", "bob-asn-x": "asn", "bob-protocol-ftp": "protocol", "bob-state-live": "state", "bob-url-x": "url",
		"bob%2": "%", "bob%zz": "%", "bob%00": "control", "bob\n": "control", strings.Repeat("a", 2000): "1024", "bob~session~a~b": `"b"`,
	} {
		_, _, err := gateway.ParseUser(in)
		if oe := (*gateway.OptionError)(nil); !errors.As(err, &oe) || !strings.Contains(err.Error(), word) {
			t.Errorf("ParseUser(%.60q) = %v, want an error that names %s", in, err, word)
		}
	}
}

// FuzzParseUser: nothing panics, and what is accepted is possible.
func FuzzParseUser(f *testing.F) {
	for _, s := range []string{"", "bob", "bob-country-us,de-session-a1-ttl-10m-strict", "bob~session~550e8400-e29b-41d4~country~us", "a-ttl-1", "%2d-%", "x-exit-10.0.0.0/8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, o, err := gateway.ParseUser(s)
		if err != nil {
			if oe := (*gateway.OptionError)(nil); !errors.As(err, &oe) {
				t.Errorf("ParseUser(%q): %T", s, err)
			}
			return
		}
		if strings.ContainsAny(name, "-~") || len(o.Session) > 64 || o.TTL < 0 || o.TTL > 24*time.Hour || o.Strict && o.Soft || o.Rotate && o.Session != "" || o.Retry < 0 || o.Retry > 16 {
			t.Errorf("ParseUser(%q) = %q, %+v", s, name, o)
		}
	})
}

func TestValidateNamesEveryMistake(t *testing.T) {
	t.Parallel()
	if err := (gateway.Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	if err := gateway.DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	bad := gateway.Config{
		Listen: "0.0.0.0:8080", Listeners: []gateway.Listener{{Listen: "x", Options: "country-xx1"}}, TLS: gateway.TLS{Cert: "c"},
		Rotation: "best", Retry: gateway.Retry{Attempts: 99, Methods: []string{"G T"}, OnStatus: []int{7}, BodyBuffer: 1 << 40},
		Timeouts: gateway.Timeouts{Total: -1}, Session: gateway.Session{TTL: 1}, Ban: gateway.Ban{Status: []int{99}, Body: []string{"ok", "("}},
		Hedge: gateway.Hedge{Enabled: true, Budget: 2, MinDelay: -1}, PerClient: gateway.ClientLimits{Rate: -1, Bandwidth: 1},
		Targets: []gateway.TargetRule{{}, {Domain: "Example.COM", Rate: -1, MinInterval: -1, Retry: gateway.Retry{Attempts: 17}}, {Domain: ".example.com"}, {Domain: "2130706433"}}, PlainHTTP: "maybe", PlaintextCredentials: "x", MaxConnections: -1,
		Pools: []string{""}, Drain: -1,
	}
	err := fmt.Sprint(bad.Validate())
	for _, key := range []string{"listen:", "listeners[0].listen:", "listeners[0].options:", "tls.listen:", "rotation:", "retry.attempts:", "retry.methods[0]:", "retry.on_status[0]:",
		"retry.body_buffer:", "timeouts.total:", "session.ttl:", "ban.status[0]:", "ban.body[1]:", "per_client.rate:", "per_client.bandwidth:", "hedge.budget:", "hedge.min_delay:", "targets[0].domain:", "targets[1].rate:", "targets[1].min_interval:", "targets[1].retry.attempts:",
		"targets[2].domain:", "targets[3].domain:", "plain_http:", "plaintext_credentials:", "max_connections:", "pools[0]:", "drain:"} {
		if !strings.Contains("\n"+err, "\n"+key) {
			t.Errorf("no mistake begins with %s in\n%s", key, err)
		}
	}
	users := gateway.Config{Users: []gateway.User{{Name: "a:b"}, {Name: "x", PasswordFile: "f", Password: password("p"), Require: "session-x", DailyBytes: -1, Bandwidth: -1, Style: "x", Rate: -1, Burst: -1}, {Name: "x"}, {Name: "y", Password: password("")}, {Name: "z", PasswordFile: "f"}}}
	err = fmt.Sprint(users.Validate())
	for _, key := range []string{"users[0].name:", "users[1].password_file:", "users[1].require:", "users[1].daily_bytes:", "users[1].bandwidth:", "users[1].style:", "users[1].rate:", "users[2].name:",
		`users[2]: give password or password_file; password: "" allows an empty one`} {
		if !strings.Contains("\n"+err, "\n"+key) {
			t.Errorf("no mistake begins with %s in\n%s", key, err)
		}
	}
	if strings.Contains(err, "users[3]") || strings.Contains(err, "users[4]") {
		t.Errorf("an empty password or a file is a mistake in\n%s", err)
	}
}
