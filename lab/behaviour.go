package lab

import (
	"fmt"
	"strconv"
	"strings"
)

// Behaviour is how an upstream treats those who use it.
type Behaviour uint8

// The behaviours. Those of the first group work, the others fail or cheat.
// What a behaviour does not mention works as in Healthy.
const (
	Healthy      Behaviour = iota // always up; adds no header: elite
	Transparent                   // healthy, but plain HTTP carries Via and the client's address in X-Forwarded-For
	Anonymous                     // healthy, but plain HTTP carries Via and X-Forwarded-For: unknown
	RotatingExit                  // healthy; every connection leaves from another of a handful of addresses
	Only443                       // healthy; tunnels only to port 443 (CONNECT 403, SOCKS reply 2), SOCKS also to port 80
	Stable                        // up in 97 % of the sweeps
	OnOff                         // long ups and downs; while on, passes most sweeps
	Flapping                      // passes a sweep now and then
	OneShot                       // passes one sweep in its whole life

	Refused           // nothing listens
	SilentConnect     // the connect itself gets no answer: a full backlog
	Silent            // accepts and never answers
	Slow              // works, but each step takes Latency, 30 s by default
	Flaky             // three of ten connections are reset at a random moment
	ResetMidBody      // the connection is reset in the middle of the answer
	CutBody           // the answer ends in the middle, without framing that would show it
	CutBodyFramed     // the answer ends in the middle, before the length that it announced
	Garbage           // answers with the banner of another protocol, or noise
	LoginPage         // answers every request with its own page and status 200
	ConnectForbidden  // CONNECT answers 403; SOCKS reply 2 to everything that is not plain HTTP
	ConnectNotAllowed // CONNECT answers 405; SOCKS reply 7
	HTMLAfter200      // the tunnel is granted, but leads to a page of HTML
	Locked            // demands credentials that nobody has

	Tamper    // changes the content of plain HTTP answers
	Intercept // opens TLS with certificates of another CA
	LyingExit // plain HTTP answers name another exit than the real one

	// These treat plain HTTP only.
	Inject    // puts a script into pages of HTML, and touches nothing else
	Cookies   // adds a cookie to answers
	Forger    // answers name another exit than the real one, and checksums without a key are made anew
	CutLong   // answers end after CutLongAt bytes, without framing that would show it
	StaleEdge // an edge of a cache: answers with what it kept of somebody else's request; no tunnels
	OwnEdge   // an edge of a CDN: serves only lab.test, its customer, as asked; no tunnels
	Compress  // honest, but compresses what comes without
	Unzip     // honest, but asks for answers without compression
	Marked    // honest, but adds Via and X-Cache to answers
)

// CutLongAt is how many bytes of an answer's body CutLong lets pass: more than a judge's answer has.
const CutLongAt = 1500

// behaviourNames has the names in the order of the constants.
var behaviourNames = [...]string{
	"healthy", "transparent", "anonymous", "rotating_exit", "only_443", "stable", "on_off", "flapping", "one_shot",
	"refused", "silent_connect", "silent", "slow", "flaky", "reset_mid_body", "cut_body", "cut_body_framed", "garbage",
	"login_page", "connect_forbidden", "connect_not_allowed", "html_after_200", "locked",
	"tamper", "intercept", "lying_exit",
	"inject", "cookies", "forger", "cut_long", "stale_edge", "own_edge", "compress", "unzip", "marked",
}

// String returns the name, for example "silent_connect".
func (b Behaviour) String() string {
	if int(b) < len(behaviourNames) {
		return behaviourNames[b]
	}
	return "behaviour(" + strconv.Itoa(int(b)) + ")"
}

// MarshalText prints the name.
func (b Behaviour) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a name in any case, with - or _.
func (b *Behaviour) UnmarshalText(text []byte) error {
	want := strings.ReplaceAll(strings.ToLower(string(text)), "-", "_")
	for i, n := range behaviourNames {
		if n == want {
			*b = Behaviour(i)
			return nil
		}
	}
	return fmt.Errorf("unknown behaviour %.40q; use one of %s", text, strings.Join(behaviourNames[:], ", "))
}

// listens reports whether there is a process behind the address at all.
func (b Behaviour) listens() bool { return b != Refused && b != SilentConnect }

// scheduled reports whether b is up only some of the time.
func (b Behaviour) scheduled() bool { return b >= Stable && b <= OneShot }
