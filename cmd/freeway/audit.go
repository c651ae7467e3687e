package main

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"freeway/internal/logs"
	"freeway/proxy"
)

const (
	auditSize  = 1 << 10         // what a request takes while it waits to be written, in bytes, about
	auditFlush = 5 * time.Second // for what waits at the end
)

// auditLog writes one JSON line per request. Requests never wait for it: what a
// slow or full disk does not take is counted.
type auditLog struct {
	w   *logs.Writer
	log *slog.Logger
	bad atomic.Bool // the last write failed, and that was said
}

// openAudit appends to path.
func openAudit(path string, log *slog.Logger) (*auditLog, error) {
	f, err := logs.OpenFile(path, logs.FileOptions{})
	if err != nil {
		return nil, err
	}
	a := &auditLog{log: log}
	begun := make(chan struct{})
	a.w = logs.NewWriter(f, func() { <-begun; a.report() })
	close(begun)
	return a, nil
}

// put never blocks.
func (a *auditLog) put(t proxy.Trace) { a.write(func() any { return auditLine(t) }) }

// note writes down what alerts change. It never blocks.
func (a *auditLog) note(n alertNote) { a.write(func() any { return n }) }

// write queues a line, which is made when its turn comes.
func (a *auditLog) write(make func() any) {
	a.w.Put(auditSize, func() []byte {
		line, err := json.Marshal(make())
		if err != nil {
			a.log.Error("audit log", "err", err)
			return nil
		}
		return append(line, '\n')
	})
}

// lost counts the requests that are missing in the file.
func (a *auditLog) lost() uint64 {
	if a == nil {
		return 0
	}
	return a.w.Lost() + a.w.Failed()
}

// report says once that the file cannot be written, and once that it can again.
func (a *auditLog) report() {
	switch err := a.w.Err(); {
	case err != nil && a.bad.CompareAndSwap(false, true):
		a.log.Error("audit log cannot be written; requests go on", "err", err)
	case err == nil && a.bad.CompareAndSwap(true, false):
		a.log.Warn("audit log can be written again", "lost", a.lost())
	}
}

// reopen opens the file anew after it was moved away; nothing is lost.
func (a *auditLog) reopen() {
	if a != nil {
		a.w.Reopen()
	}
}

// close writes what waits. It may be called more than once, and on nil.
func (a *auditLog) close() error {
	if a == nil {
		return nil
	}
	return a.w.Close(auditFlush)
}

type auditAttempt struct {
	Proxy   string `json:"proxy"`
	Exit    string `json:"exit,omitempty"`
	Country string `json:"country,omitempty"`
	Stage   string `json:"stage"`
	Class   string `json:"class"`
	Status  int    `json:"status,omitempty"`
	TookMS  int64  `json:"took_ms"`
}

type auditRecord struct {
	At       time.Time      `json:"at"`
	ID       string         `json:"id"`
	Client   netip.Addr     `json:"client"`
	User     string         `json:"user,omitempty"`
	Tag      string         `json:"tag,omitempty"`
	Session  string         `json:"session,omitempty"`
	Method   string         `json:"method"`
	Host     string         `json:"host"`
	Port     uint16         `json:"port"`
	Decision string         `json:"decision"`
	Upstream string         `json:"upstream,omitempty"`
	Exit     string         `json:"exit,omitempty"`
	Status   int            `json:"status"`
	Code     string         `json:"code,omitempty"`
	Outcome  string         `json:"outcome"`
	Attempts []auditAttempt `json:"attempts"`
	Up       int64          `json:"up"`
	Down     int64          `json:"down"`
	TookMS   int64          `json:"took_ms"`
}

// auditLine keeps hosts and no paths; a Trace has none.
func auditLine(t proxy.Trace) auditRecord {
	r := auditRecord{At: t.At.UTC(), ID: t.ID, Client: t.Client, User: t.User, Tag: t.Tag, Session: t.Session, Method: t.Method,
		Host: t.Target.Host, Port: t.Target.Port, Decision: decision(t), Status: t.Status, Code: t.Code, Outcome: endOf(t),
		Attempts: []auditAttempt{}, Up: t.Up, Down: t.Down, TookMS: t.Took.Milliseconds()}
	for _, a := range t.Attempts {
		line := auditAttempt{Proxy: a.Endpoint.String(), Country: a.Country, Stage: a.Stage.String(), Class: a.Class.String(), Status: a.Status,
			TookMS: a.Took.Milliseconds()}
		if a.Exit.IsValid() {
			line.Exit = a.Exit.String()
		}
		r.Attempts = append(r.Attempts, line)
	}
	if a := serving(t); a != nil {
		r.Upstream = a.Endpoint.String()
		if a.Exit.IsValid() {
			r.Exit = a.Exit.String()
		}
	}
	return r
}

// decision is "allow" when the request was let through to an upstream, or
// would have been if there had been one, and "deny" when it was refused.
func decision(t proxy.Trace) string {
	if len(t.Attempts) > 0 || t.Missed > 0 || t.Code == "" {
		return "allow"
	}
	return "deny"
}

// serving is the attempt whose upstream the client was served through, nil for
// none: the one that worked, else the last, when an answer began.
func serving(t proxy.Trace) *proxy.Attempt {
	if t.Answer == 0 || len(t.Attempts) == 0 {
		return nil
	}
	for i := range t.Attempts {
		if c := t.Attempts[i].Class; c == proxy.OK || c == proxy.Banned {
			return &t.Attempts[i]
		}
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// endOf is how the request ended, in a word: the code of a refusal, else the
// class of the attempt that served: ok, banned, or what cut it.
func endOf(t proxy.Trace) string {
	switch a := serving(t); {
	case t.Code != "":
		return t.Code
	case a != nil:
		return a.Class.String()
	}
	return "failed"
}
