package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/config"
	"freeway/scraper"
)

// TestValues: every kind of value, as a file may write it.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		get        func(config.Config) any
		want       any
	}{
		{"duration", "scraper: {timeout: 1m30s}", func(c config.Config) any { return c.Scraper.Timeout }, 90 * time.Second},
		{"zero duration", "gateway: {timeouts: {warmup: 0s}}", func(c config.Config) any { return c.Gateway.Timeouts.Warmup }, time.Duration(0)},
		{"size", "scraper: {max_bytes: 5 MiB}", func(c config.Config) any { return int64(c.Scraper.MaxBytes) }, int64(5 << 20)},
		{"number", "gateway: {max_connections: 17}", func(c config.Config) any { return c.Gateway.MaxConnections }, 17},
		{"number in quotes", `gateway: {max_connections: "17"}`, func(c config.Config) any { return c.Gateway.MaxConnections }, 17},
		{"float", "checker: {rate: 2.5}", func(c config.Config) any { return c.Checker.Rate }, 2.5},
		{"rate without limit", "checker: {rate: 0}", func(c config.Config) any { return c.Checker.Rate }, 0.0},
		{"bool", "gateway: {expose_upstream: true}", func(c config.Config) any { return c.Gateway.ExposeUpstream }, true},
		{"block list", "gateway:\n  pools:\n    - own\n    - public\n", func(c config.Config) any { return c.Gateway.Pools }, []string{"own", "public"}},
		{"empty list on purpose", "gateway: {deny_ports: []}", func(c config.Config) any { return c.Gateway.DenyPorts }, []uint16{}},
		{"secret that looks like a number", "admin: {token: 0123}", func(c config.Config) any { return c.Admin.Token.Reveal() }, "0123"},
		{"alias", "scraper: {timeout: &t 7s}\nchecker: {timeout: *t}", func(c config.Config) any { return c.Checker.Timeout }, 7 * time.Second},
		{"IPv6 range", "network: {allow_targets: [\"fd00::/8\"]}", func(c config.Config) any { return c.Network.AllowTargets[0].String() }, "fd00::/8"},
		{"address", "checker: {own_ips: [192.0.2.1]}", func(c config.Config) any { return c.Checker.OwnIPs[0].String() }, "192.0.2.1"},
		{"judges in both forms", "checker: {judges: [http://a.example/, {url: https://b.example/, key_file: k}]}",
			func(c config.Config) any { return fmt.Sprint(c.Checker.Judges) }, "[{http://a.example/  } {https://b.example/  k}]"},
		{"some built-in sources", "sources: {builtin: []}", func(c config.Config) any { return c.Sources.Builtin.All }, false},
		{"headers", "sources: {list: [{name: a, url: http://a.example/, headers: {X-Key: v, Accept: text/plain}}]}",
			func(c config.Config) any { return c.Sources.List[0].Headers }, map[string]string{"X-Key": "v", "Accept": "text/plain"}},
		{"pointer", "sources: {list: [{name: a, file: f, enabled: false}]}", func(c config.Config) any { return c.Sources.List[0].On() }, false},
		{"pages", "sources: {list: [{name: a, url: \"http://a.example/{page}\", pages: {from: 1, to: 3}}]}",
			func(c config.Config) any { return c.Sources.List[0].Pages }, scraper.Pages{From: 1, To: 3}},
		{"user", "gateway: {users: [{name: bob, password: x, daily_bytes: 0, rate: 1.5}]}",
			func(c config.Config) any {
				return c.Gateway.Users[0].Password.Reveal() + fmt.Sprint(c.Gateway.Users[0].Rate)
			}, "x1.5"},
		{"CRLF and a byte order mark", "\ufefflog: {level: warn}\r\n", func(c config.Config) any { return c.Log.Level }, "warn"},
	} {
		c, err := load(t, tt.text, config.LoadOptions{})
		if err != nil {
			t.Errorf("%s: Load(%q) = %v", tt.name, tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, tt.get(c)); diff != "" {
			t.Errorf("%s: Load(%q) (-want +got):\n%s", tt.name, tt.text, diff)
		}
	}
}

// TestMessages: one wrong value each, and what is said about it.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"gateway: {max_connections: -1}", `freeway.yaml:1: gateway.max_connections: bad number "-1"; write a whole number of 0 or more`},
		{"gateway: {max_connections: 1e3}", `freeway.yaml:1: gateway.max_connections: bad number "1e3"; write a whole number of 0 or more`},
		{"gateway: {deny_ports: [65536]}", `freeway.yaml:1: gateway.deny_ports[0]: bad number "65536"; write a whole number from 0 to 65535`},
		{"checker: {rate: fast}", `freeway.yaml:1: checker.rate: bad number "fast"; write a number of 0 or more, for example 0.2`},
		{"checker: {rate: .inf}", `freeway.yaml:1: checker.rate: bad number ".inf"; write a number of 0 or more, for example 0.2`},
		{"checker: {rate: .nan}", `freeway.yaml:1: checker.rate: bad number ".nan"; write a number of 0 or more, for example 0.2`},
		{"scraper: {timeout: -5s}", `freeway.yaml:1: scraper.timeout: bad duration "-5s"; write for example 300ms, 5s, 10m or 24h`},
		{"scraper: {timeout: \"\"}", `freeway.yaml:1: scraper.timeout: bad duration ""; write for example 300ms, 5s, 10m or 24h`},
		{"gateway: {pools: public}", `freeway.yaml:1: gateway.pools: expected a list such as [a, b], found "public"`},
		{"gateway: {retry: 3}", `freeway.yaml:1: gateway.retry: expected keys (attempts, methods, on_status, body_buffer), found "3"`},
		{"gateway: {users: [bob]}", `freeway.yaml:1: gateway.users[0]: expected keys (name, password, password_file, rate, burst, concurrency, bandwidth, daily_bytes, require, style), found "bob"`},
		{"sources: {list: [{name: a, url: http://a.example/, headers: [a]}]}",
			`freeway.yaml:1: sources.list[0].headers: expected names and values such as {name: value}, found a list`},
		{"checker: {own_ips: [fe80::1%eth0]}", `freeway.yaml:1: checker.own_ips[0]: bad address "fe80::1%eth0"; write for example 192.0.2.1 or 2001:db8::1`},
		{"\nlog:\n  level: \"in\\u0007fo\"\n", `freeway.yaml:3: log.level: unknown level "in\afo"; use one of debug, info, warn, error`},
		{"\"a\\u001b[31mb\": 1", `freeway.yaml:1: "a\x1b[31mb": unknown key; the nearest is admin`},
		{"listen: 127.0.0.1:80", `freeway.yaml:1: listen: unknown key; did you mean gateway.listen?`},
		{strings.Repeat("x", 200) + ": 1", `freeway.yaml:1: "` + strings.Repeat("x", 60) + `...": unknown key; the nearest is admin`},
		{"[a]: 1", `freeway.yaml:1: unknown key; the nearest is geo`},
	} {
		_, err := load(t, tt.text, config.LoadOptions{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("Load(%q) = %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// TestMessagesHoldNoSecrets: what is wrong with a secret is said without it.
func TestMessagesHoldNoSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"admin: {token: [hunter2]}", "admin: {token: {a: hunter2}}", "gateway: {users: [{name: bob, password: [hunter2]}]}",
		"checker: {judges: [\"http://bob:hunter2@judge.example/\"]}", "sources: {list: [{name: a, url: \"ftp://bob:hunter2@a.example/\"}]}",
	} {
		if _, err := load(t, text, config.LoadOptions{}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Load(%q) = %v, want an error without the secret", text, err)
		}
	}
}

// TestAliasBomb: a small file that stands for a huge one ends quickly.
func TestAliasBomb(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c <= 'k'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	b.WriteString("gateway: {pools: *k}\nnetwork: {allow_targets: *k}\n")
	for _, text := range []string{b.String(), "a: &a\n  b: *a\n", "gateway: &g {retry: *g}\n"} {
		if _, err := load(t, text, config.LoadOptions{}); err == nil {
			t.Errorf("Load(%.40q...) finds nothing", text)
		}
	}
}

// TestErrorsAreOrdered: by the file's lines, then the environment, then the whole.
func TestErrorsAreOrdered(t *testing.T) {
	t.Parallel()
	_, err := load(t, "log: {level: x}\n\nstore: {path: ''}\nadmin: {pprof: 1}\n", config.LoadOptions{Lookup: env("FREEWAY_LOG_FORMAT", "x")})
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("Load = %v", err)
	}
	var got []string
	for _, e := range errs {
		got = append(got, e.Where)
	}
	if diff := cmp.Diff([]string{"freeway.yaml:1", "freeway.yaml:3", "freeway.yaml:4", "$FREEWAY_LOG_FORMAT"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestValidateNeedsNoFile(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Log.Level, c.Admin.Listen = "loud", c.Gateway.Listen
	err := c.Validate()
	want := "log.level: unknown level \"loud\"; use one of debug, info, warn, error\nadmin.listen: \"127.0.0.1:8080\" is taken by gateway.listen"
	if err == nil || err.Error() != want {
		t.Errorf("Validate = %v, want\n%s", err, want)
	}
}

// TestListenersCollide: the same port on addresses that overlap.
func TestListenersCollide(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		gateway, admin string
		collide        bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true}, {"127.0.0.1:8080", "localhost:8080", true}, {"127.0.0.1:8080", "127.0.0.2:8080", false},
		{"127.0.0.1:0", "127.0.0.1:0", false}, {"127.0.0.1:8080", "127.0.0.1:8081", false}, {"[::1]:8080", "127.0.0.1:8080", false},
	} {
		c := config.Default()
		c.Gateway.Listen, c.Admin.Listen = tt.gateway, tt.admin
		if got := c.Validate() != nil; got != tt.collide {
			t.Errorf("gateway %s and admin %s collide: %v, want %v", tt.gateway, tt.admin, got, tt.collide)
		}
	}
}
