package proxy

import "time"

// Stage is the step of a use at which something happened.
type Stage uint8

// The stages of a use, in order.
const (
	StageResolve   Stage = 1 + iota // finding the proxy's address
	StageConnect                    // TCP to the proxy
	StageTLS                        // TLS to the proxy itself
	StageHandshake                  // CONNECT or SOCKS until the tunnel is up
	StageTunnel                     // the first bytes through the tunnel, normally the target's TLS handshake
	StageRequest                    // from the request to the head of the answer
	StageBody                       // the body of the answer
	StageVerify                     // the judge's answer against what was asked
)

var stageNames = [...]string{"", "resolve", "connect", "tls", "handshake", "tunnel", "request", "body", "verify"}

// String returns the stage's name, "" for the zero value.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return "stage"
}

// Failed reports whether somebody failed, whoever that is.
func (c Class) Failed() bool { return c != OK && c != Canceled }

// MarshalText prints the name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Class is what kind of thing happened. The zero value is success.
type Class uint8

// The classes of outcomes. Everything but OK is a failure of somebody; Blame says whose.
const (
	OK           Class = iota
	Timeout            // no answer within the step's deadline
	Refused            // connection refused
	Reset              // connection reset
	EOF                // connection closed too early
	Unreachable        // no route, or another error of the network
	DNS                // the proxy's name does not resolve
	Forbidden          // the proxy's address may not be dialled
	Garbage            // an answer that is not of the protocol
	AuthRequired       // 407, SOCKS5 0xFF or a refused login: it needs credentials
	NoConnect          // CONNECT answered 405 or 501: no tunnels at all
	PortDenied         // CONNECT answered 403 (and the like): not to this port or target
	BadGateway         // CONNECT 502-504, SOCKS 3-6: the proxy could not reach the target
	Rejected           // another refusal by the proxy
	BadTLS             // TLS to the proxy, or through the tunnel, does not verify or is not TLS
	Truncated          // the body was cut
	WrongContent       // the answer is not the target's: own page, stale, or changed
	Tampered           // the answer was changed on purpose; see Traits.Tampers
	Banned             // the target refuses this exit: 403, 429, 503, captcha, or as feedback says
	TargetFailed       // the target itself is at fault
	Canceled           // the client went away or a hedge lost; says nothing about anybody
	SelfExit           // the exit is our own address: not a proxy
)

var classNames = [...]string{"ok", "timeout", "refused", "reset", "eof", "unreachable", "dns", "forbidden", "garbage",
	"auth_required", "no_connect", "port_denied", "bad_gateway", "rejected", "bad_tls", "truncated", "wrong_content",
	"tampered", "banned", "target_failed", "canceled", "self_exit"}

// String returns the name, for example "port_denied".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class"
}

// MarshalText prints the name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Origin says how an outcome became known.
type Origin uint8

// The origins of outcomes.
const (
	FromCheck    Origin = 1 + iota // a full check by the checker
	FromTraffic                    // a client's request through the gateway
	FromFeedback                   // a client's word through the API
)

// Phases holds how long the steps of a use took: connect, TLS to the proxy,
// handshake, and first byte after the request. Zero: did not happen.
type Phases struct{ Connect, TLS, Handshake, FirstByte time.Duration }

// Total adds the phases up: the time until the first byte of the answer.
func (p Phases) Total() time.Duration { return p.Connect + p.TLS + p.Handshake + p.FirstByte }

// Outcome is what happened once, in a check, in traffic or by feedback.
type Outcome struct {
	Endpoint   Endpoint
	Target     Target
	At         time.Time
	Stage      Stage // the last stage that was reached; where it failed, if it did
	Class      Class // OK when it worked
	Status     int   // HTTP status or SOCKS reply code, if there was one
	RetryAfter time.Duration
	Phases     Phases
	Origin     Origin
	Learned    *Traits // what this use showed of the proxy; nil for nothing
	Request    string  // of the client that the use was for: failures of one request alone close no target; "" for none
	Overtaken  bool    // canceled because another attempt of the same request was faster
}

// Failed reports whether something went wrong, whoever is to blame.
func (o Outcome) Failed() bool { return o.Class.Failed() }

// Blame divides a failure: how much of it (0 to 1) is the proxy's own, how much
// belongs to the pair of proxy and target, and how much makes the target
// suspect. It cannot know that several proxies agree; the pool decides that.
// The weights are those of docs/architecture.md, "Attribution".
func (o Outcome) Blame() (proxy, pair, target float32) {
	switch o.Class {
	case OK, Canceled, NoConnect, PortDenied, Forbidden:
		return 0, 0, 0
	case BadGateway:
		return 0.25, 1, 1
	case Truncated:
		return 0.5, 0.5, 0
	case Banned:
		return 0, 1, 0
	case TargetFailed:
		return 0, 0, 1
	case Rejected, WrongContent:
		if o.Origin == FromFeedback { // the client knows that it was useless there
			return 1, 1, 0
		}
	case Timeout, Reset, EOF, BadTLS, Garbage:
		if o.Stage >= StageTunnel { // the proxy said yes and then did not deliver
			return 1, 1, 0
		}
	}
	return 1, 0, 0
}

// Eject reports whether the outcome forbids any further use of the proxy, whatever its score.
func (o Outcome) Eject() bool { return o.Class == Tampered || o.Class == Forbidden }
