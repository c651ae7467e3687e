package api

import (
	"math"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// Detail is one proxy with its history and what explains its score.
type Detail struct {
	Proxy
	Why     string   `json:"why" doc:"How the score came about."`
	Next    string   `json:"next_check_why" doc:"Why the next check is due when it is."`
	History []Event  `json:"history" doc:"The latest checks and uses, newest first."`
	Notes   []string `json:"notes" doc:"What the latest check saw."`
}

// Event is one check, use or word of feedback.
type Event struct {
	At          *time.Time `json:"at"`
	Origin      string     `json:"origin" enum:"check,traffic,feedback"`
	Target      string     `json:"target" doc:"host:port"`
	Stage       string     `json:"stage" doc:"The last stage that was reached."`
	Class       string     `json:"class" doc:"ok, or what went wrong."`
	Status      int        `json:"status" doc:"HTTP status or SOCKS reply; 0 is none."`
	ConnectMS   float64    `json:"connect_ms"`
	TLSMS       float64    `json:"tls_ms"`
	HandshakeMS float64    `json:"handshake_ms"`
	FirstByteMS float64    `json:"first_byte_ms"`
	Score       float64    `json:"score" doc:"The score right after it."`
}

func detail(d pool.Detail) Detail {
	out := Detail{Proxy: View(d.Entry), Why: d.Why, Next: d.Next, History: []Event{}, Notes: orEmpty(d.Notes)}
	for i, o := range d.History {
		e := event(o)
		if i < len(d.Scores) {
			e.Score = math.Round(d.Scores[i]*1e4) / 1e4
		}
		out.History = append(out.History, e)
	}
	return out
}

var origins = map[proxy.Origin]string{proxy.FromCheck: "check", proxy.FromTraffic: "traffic", proxy.FromFeedback: "feedback"}

func event(o proxy.Outcome) Event {
	return Event{At: stamp(o.At), Origin: origins[o.Origin], Target: target(o.Target), Stage: o.Stage.String(), Class: o.Class.String(), Status: o.Status,
		ConnectMS: millis(o.Phases.Connect), TLSMS: millis(o.Phases.TLS), HandshakeMS: millis(o.Phases.Handshake), FirstByteMS: millis(o.Phases.FirstByte)}
}

func target(t proxy.Target) string {
	if t.Host == "" {
		return ""
	}
	return t.String()
}

// millis keeps a tenth of a millisecond.
func millis(d time.Duration) float64 { return float64(d/(100*time.Microsecond)) / 10 }
