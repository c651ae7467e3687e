package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/gateway"
	"freeway/proxy"
)

// auditQueue is how many requests may wait for a slow disk; beyond that they
// are counted as lost. Requests never wait for the log.
const auditQueue = 4096

// auditLog writes one JSON line per request.
type auditLog struct {
	log   *slog.Logger
	lost  prometheus.Counter
	queue chan proxy.Trace

	file *os.File
	once sync.Once
	err  error // of close
}

// openAudit appends to path. lost counts what could not be written.
func openAudit(path string, log *slog.Logger, lost prometheus.Counter) (*auditLog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &auditLog{log: log, lost: lost, queue: make(chan proxy.Trace, auditQueue), file: f}, nil
}

// put never blocks.
func (a *auditLog) put(t proxy.Trace) {
	select {
	case a.queue <- t:
	default:
		a.lost.Inc()
	}
}

// run writes until ctx ends, then what is left. Lines are flushed whenever the
// queue is empty.
func (a *auditLog) run(ctx context.Context) error {
	w := bufio.NewWriter(a.file)
	for {
		select {
		case t := <-a.queue:
			a.write(w, t)
		case <-ctx.Done():
			for len(a.queue) > 0 {
				a.write(w, <-a.queue)
			}
			return w.Flush()
		}
	}
}

// write adds one line. An error is logged and counted; it must not end the server.
func (a *auditLog) write(w *bufio.Writer, t proxy.Trace) {
	line, err := json.Marshal(auditLine(t))
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	if err == nil && len(a.queue) == 0 {
		err = w.Flush()
	}
	if err != nil {
		a.lost.Inc()
		a.log.Error("audit log", "err", err)
		w.Reset(a.file) // a full disk may have space again later
	}
}

// close may be called more than once.
func (a *auditLog) close() error {
	a.once.Do(func() { a.err = a.file.Close() })
	return a.err
}

// auditPicker notes every request that the pool is told of.
type auditPicker struct {
	gateway.Picker
	log *auditLog
}

// Record passes the request on and writes it down.
func (p auditPicker) Record(t proxy.Trace) {
	p.Picker.Record(t)
	p.log.put(t)
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
	Status   int            `json:"status"`
	Code     string         `json:"code,omitempty"`
	Attempts []auditAttempt `json:"attempts"`
	Up       int64          `json:"up"`
	Down     int64          `json:"down"`
	TookMS   int64          `json:"took_ms"`
}

// auditLine keeps hosts and no paths; a Trace has none.
func auditLine(t proxy.Trace) auditRecord {
	r := auditRecord{At: t.At.UTC(), ID: t.ID, Client: t.Client, User: t.User, Tag: t.Tag, Session: t.Session, Method: t.Method,
		Host: t.Target.Host, Port: t.Target.Port, Status: t.Status, Code: t.Code, Attempts: []auditAttempt{}, Up: t.Up, Down: t.Down,
		TookMS: t.Took.Milliseconds()}
	for _, a := range t.Attempts {
		line := auditAttempt{Proxy: a.Endpoint.String(), Country: a.Country, Stage: a.Stage.String(), Class: a.Class.String(), Status: a.Status,
			TookMS: a.Took.Milliseconds()}
		if a.Exit.IsValid() {
			line.Exit = a.Exit.String()
		}
		r.Attempts = append(r.Attempts, line)
	}
	return r
}
