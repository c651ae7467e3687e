package gateway_test

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// TestWant explains what requests would ask for, and what they would be refused with.
func TestWant(t *testing.T) {
	t.Parallel()
	none := gateway.Config{}
	users := gateway.Config{Users: []gateway.User{{Name: "bob", Password: password("x"), Require: "country-de"}, {Name: "bob-x", PasswordFile: "nowhere"}}}
	refusing := gateway.Config{PlainHTTP: "refuse"}
	for _, tt := range []struct {
		cfg       gateway.Config
		user, url string
		need      proxy.Caps
		code      string
	}{
		{none, "", "http://example.com/a?b", proxy.NeedForward | proxy.NeedRemoteDNS, ""},
		{none, "any-country-us", "https://1.1.1.1", proxy.NeedTunnel, ""},
		{none, "any", "https://1.1.1.1:8443/", proxy.NeedTunnelAny, ""},
		{none, "any", "tcp://example.com:22", proxy.NeedTunnelAny | proxy.NeedRemoteDNS, ""},
		{none, "any-colour-red", "http://example.com/", 0, "bad_options"},
		{none, "any", "ftp://example.com/", 0, "bad_request"},
		{none, "any", "tcp://example.com", 0, "bad_request"},
		{none, "any", "example.com", 0, "bad_request"},
		{none, "any", "tcp://example.com:25", 0, "forbidden_target"},
		{users, "bob", "http://1.1.1.1/", proxy.NeedForward, ""},
		{users, "bob-country-de,us", "http://1.1.1.1/", proxy.NeedForward, ""},
		{users, "bob-country-us", "http://1.1.1.1/", 0, "forbidden_options"},
		{users, "bob-x-country-us", "http://1.1.1.1/", proxy.NeedForward, ""},
		{users, "eve", "http://1.1.1.1/", 0, "auth_required"},
		{users, "", "http://1.1.1.1/", 0, "auth_required"},
		{refusing, "", "http://1.1.1.1/", 0, "plain_http"},
		{refusing, "any-pool-own", "http://1.1.1.1/", proxy.NeedForward, ""},
		{refusing, "", "https://1.1.1.1/", proxy.NeedTunnel, ""},
	} {
		want, err := gateway.Want(tt.cfg, tt.user, tt.url)
		code := ""
		if r, ok := errors.AsType[*gateway.Refused](err); ok {
			code = r.Code
		}
		if code != tt.code || (err == nil) != (tt.code == "") || want.Need != tt.need {
			t.Errorf("Want(%q, %q) = %v, %v; want %v, %q", tt.user, tt.url, want.Need, err, tt.need, tt.code)
		}
	}
	want, err := gateway.Want(users, "bob-session-a-country-us,de", "http://www.example.co.uk/")
	if err != nil || want.Session != (proxy.SessionKey{User: "bob", ID: "a"}) || want.SessionTTL.Minutes() != 10 || len(want.Filter.Countries) != 1 ||
		want.Target.Domain != "example.co.uk" || len(want.Pools) != 1 {
		t.Errorf("Want = %+v, %v", want, err)
	}
}

// TestOwnAddresses: the program's other ports are closed to clients under
// every name and address that means this machine, where loopback is allowed.
func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	const admin = 8081
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	self := func(ap netip.AddrPort) bool { return ap.Port() == admin && ap.Addr().IsLoopback() }
	anywhere := proxy.NewAddrPolicy(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(answering(t, proxy.HTTP, okAnswer), 1)}}
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t)})
	r := runRig(t, gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: p, Targets: anywhere, Dialer: d, Self: self}, p)
	for _, name := range []string{"localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost", "localhost6", host, "127.0.0.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]"} {
		for port, want := range map[int]int{admin: 403, 8082: 200} {
			if status, _ := r.ask("http://"+name+":"+strconv.Itoa(port)+"/", "", ""); status != want {
				t.Errorf("%s:%d: %d, want %d", name, port, status, want)
			}
		}
	}
	if _, err := r.g.Want("", "http://localhost:8081/"); err == nil {
		t.Error("Want knows nothing of the program's own port")
	}
	if _, err := r.g.Want("", "http://localhost:8082/"); err != nil {
		t.Errorf("Want of another port: %v", err)
	}
}
