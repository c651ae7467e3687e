package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// twoUsers starts a gateway with two users and a clock that stands still.
func twoUsers(t *testing.T) (*rig, *clock, gateway.Config) {
	t.Helper()
	k := newClock(time.Unix(2e9, 0))
	cfg := gateway.Config{Listen: "127.0.0.1:0", Users: []gateway.User{{Name: "bob", Password: password("pw")}, {Name: "eve", Password: password("wp")}}}
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(answering(t, proxy.HTTP, okAnswer), 1)}}
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t)})
	return runRig(t, cfg, gateway.Env{Picker: p, Targets: policy, Dialer: d, Now: k.now}, p), k, cfg
}

// status sends one request on a connection of its own.
func (r *rig) status(credentials string) int {
	r.t.Helper()
	status, _ := r.ask("http://example.com/", credentials, "")
	return status
}

// TestGuesserLocksNobodyOut: two wrong logins a second from the address of a client that
// has logged in do not harm it, whoever's name they try. They are checked no
// faster than before.
func TestGuesserLocksNobodyOut(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"bob", "eve", "nobody"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			r, k, _ := twoUsers(t)
			if s := r.status("bob:pw"); s != 200 {
				t.Fatalf("the first login: %d", s)
			}
			answered, served := 0, 0
			for i := range 200 {
				k.add(500 * time.Millisecond)
				switch s := r.status(fmt.Sprint(victim, ":", i)); {
				case s == 407:
					answered++
				case s != 429:
					t.Fatalf("guess %d: %d", i, s)
				}
				if i%2 == 1 && r.status("bob:pw") == 200 {
					served++
				}
			}
			if most := 10 + 100/6 + 1; answered > most || answered < 10 {
				t.Errorf("%d of 200 guesses were told that they are wrong, want 10 to %d", answered, most)
			}
			if served != 100 {
				t.Errorf("%d of 100 requests of the user were served", served)
			}
			if s := r.status("eve:wp"); s != 429 {
				t.Errorf("a right login that was never seen here, during the attack: %d, want 429", s)
			}
		})
	}
}

// TestKnownUserIsGuessedSlowly: the allowance of a known user ends as well, but a
// connection on which the user has logged in goes on.
func TestKnownUserIsGuessedSlowly(t *testing.T) {
	t.Parallel()
	r, k, _ := twoUsers(t)
	w := r.conn()
	get := func() int {
		w.send("GET http://example.com/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic Ym9iOnB3\r\n\r\n")
		p, _ := w.answer("GET")
		return p.StatusCode
	}
	if s := get(); s != 200 {
		t.Fatalf("the first login: %d", s)
	}
	for range 1000 {
		r.g.Guess("127.0.0.1", "bob", k.now())
	}
	if s := r.status("bob:pw"); s != 429 {
		t.Errorf("a right login after 1,000 wrong ones at once: %d, want 429", s)
	}
	for range 3 {
		if s := get(); s != 200 {
			t.Errorf("on a connection of the user: %d", s)
		}
		k.add(time.Second / 20)
	}
	k.add(time.Second)
	if s := r.status("bob:pw"); s != 200 {
		t.Errorf("a second later: %d", s)
	}
}

// TestKnownIsForgotten: after an hour without a login a user is not known any more,
// and after a reload the old password is one wrong login as any other.
func TestKnownIsForgotten(t *testing.T) {
	t.Parallel()
	r, k, cfg := twoUsers(t)
	flood := func() {
		for range 12 {
			r.status("nobody:x")
		}
	}
	r.status("bob:pw")
	k.add(50 * time.Minute)
	r.status("bob:pw")
	k.add(50 * time.Minute)
	flood()
	if s := r.status("bob:pw"); s != 200 {
		t.Errorf("50 minutes after the last login: %d", s)
	}
	cfg.Users[0].Password = password("new")
	if err := r.g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if s := r.status("bob:pw"); s != 429 {
		t.Errorf("the old password: %d, want 429", s)
	}
	k.add(61 * time.Minute)
	flood()
	if s := r.status("bob:new"); s != 429 {
		t.Errorf("61 minutes after the last login: %d, want 429", s)
	}
}

// TestProofIsOfOneUser: a connection on which somebody has logged in is no way to
// guess at others, nor at the same user's next password.
func TestProofIsOfOneUser(t *testing.T) {
	t.Parallel()
	r, _, cfg := twoUsers(t)
	w := r.conn()
	get := func(auth string) int {
		w.send("GET http://example.com/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic " + auth + "\r\n\r\n")
		p, _ := w.answer("GET")
		return p.StatusCode
	}
	const bob, eve, guess = "Ym9iOnB3", "ZXZlOndw", "ZXZlOng="
	if s := get(bob); s != 200 {
		t.Fatalf("the first login: %d", s)
	}
	for i := range 12 {
		if s := get(guess); (s == 407) != (i < 10) {
			t.Errorf("guess %d: %d", i, s)
		}
	}
	if s := get(eve); s != 429 {
		t.Errorf("another user: %d, want 429", s)
	}
	cfg.Users[0].Password = password("new")
	if err := r.g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if s := get(bob); s != 429 {
		t.Errorf("the old password: %d, want 429", s)
	}
}

// TestSOCKSGuesserLocksNobodyOut is the same for SOCKS5, which shares what is known.
func TestSOCKSGuesserLocksNobodyOut(t *testing.T) {
	t.Parallel()
	r, _, _ := twoUsers(t)
	login := func(user, password string) string {
		w := r.conn()
		w.send(fmt.Sprintf("\x05\x01\x02\x01%c%s%c%s", len(user), user, len(password), password))
		b := make([]byte, 4)
		_, _ = w.Read(b)
		return string(b)
	}
	r.status("bob:pw")
	for range 12 {
		login("bob", "no")
	}
	if got := login("bob", "pw"); got != "\x05\x02\x01\x00" {
		t.Errorf("a known user: %q", got)
	}
	if got := login("eve", "wp"); got == "\x05\x02\x01\x00" {
		t.Errorf("one who was not seen before: %q", got)
	}
}

// TestGuardIsBounded: neither right nor wrong logins fill the memory.
func TestGuardIsBounded(t *testing.T) {
	t.Parallel()
	if recent, known := gateway.FillGuard(20_000); recent > 8192 || known != 8192 {
		t.Errorf("%d addresses and %d users are remembered", recent, known)
	}
}
