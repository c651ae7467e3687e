package api

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"freeway/proxy"
)

// Proxy is one proxy as the API shows it, without its password.
type Proxy struct {
	ID          string          `json:"id" doc:"Opaque and stable."`
	URL         string          `json:"url" example:"socks5://1.2.3.4:1080"`
	Protocol    proxy.Protocol  `json:"protocol"`
	Host        string          `json:"host"`
	Port        uint16          `json:"port"`
	Pool        string          `json:"pool" doc:"Label of the source it came from."`
	State       proxy.State     `json:"state"`
	Score       float64         `json:"score" minimum:"0" maximum:"1" doc:"Estimated probability that a use at a random moment now works."`
	LatencyMS   int64           `json:"latency_ms" doc:"Moving average until the first byte, in milliseconds; 0 is unknown."`
	Anonymity   proxy.Anonymity `json:"anonymity" doc:"What a plain-HTTP target sees; empty is unknown."`
	Forward     *bool           `json:"forward" doc:"Forwards plain HTTP in absolute form; null is unknown."`
	Tunnel      *bool           `json:"tunnel" doc:"Reaches port 443 by CONNECT or SOCKS; null is unknown."`
	TunnelAny   *bool           `json:"tunnel_any" doc:"Reaches other ports; null is unknown."`
	RemoteDNS   *bool           `json:"remote_dns" doc:"Resolves names itself; null is unknown."`
	IPv6        *bool           `json:"ipv6" doc:"Reaches IPv6 targets; null is unknown."`
	ExitIP      string          `json:"exit_ip" doc:"The address that targets see; empty is unknown."`
	Country     string          `json:"country" doc:"Of the exit, ISO 3166-1 alpha-2; empty is unknown."`
	ASN         uint32          `json:"asn" doc:"Of the exit; 0 is unknown."`
	Org         string          `json:"org"`
	Tampers     string          `json:"tampers" doc:"What it was caught at; empty is nothing."`
	Sources     []string        `json:"sources"`
	FirstSeen   *time.Time      `json:"first_seen"`
	LastChecked *time.Time      `json:"last_checked"`
	LastLive    *time.Time      `json:"last_live"`
	NextCheck   *time.Time      `json:"next_check"`
	Checks      proxy.Tally     `json:"checks"`
	Uses        proxy.Tally     `json:"uses"`
	Error       *Fault          `json:"error" doc:"Of the last check or use that failed; null is none."`
}

// Fault is where and how something failed.
type Fault struct {
	Stage string `json:"stage"`
	Class string `json:"class"`
}

// View shows an entry. It never holds the password.
func View(e proxy.Entry) Proxy {
	t := e.Traits
	return Proxy{
		ID: e.Endpoint.ID(), URL: e.Endpoint.String(), Protocol: e.Endpoint.Protocol, Host: e.Endpoint.Host, Port: e.Endpoint.Port,
		Pool: e.Pool, State: e.State, Score: round3(e.Score), LatencyMS: e.Latency.Milliseconds(), Anonymity: t.Anonymity,
		Forward: tri(t.Forward), Tunnel: tri(t.Tunnel), TunnelAny: tri(t.TunnelAny), RemoteDNS: tri(t.RemoteDNS), IPv6: tri(t.IPv6),
		ExitIP: addr(t.ExitIP), Country: t.Country, ASN: t.ASN, Org: t.Org, Tampers: t.Tampers, Sources: orEmpty(e.Sources),
		FirstSeen: stamp(e.FirstSeen), LastChecked: stamp(e.LastChecked), LastLive: stamp(e.LastLive), NextCheck: stamp(e.NextCheck),
		Checks: e.Checks, Uses: e.Uses, Error: fault(e.Error),
	}
}

// round3 keeps scores readable; more digits would claim a precision that is not there.
func round3(f float64) float64 { return float64(int(f*1000+0.5)) / 1000 }

func tri(t proxy.Tri) *bool {
	if t == proxy.Unknown {
		return nil
	}
	b := t == proxy.Yes
	return &b
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// stamp drops what is smaller than a millisecond; the zero time is null.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func fault(f proxy.Fault) *Fault {
	if f == (proxy.Fault{}) {
		return nil
	}
	return &Fault{f.Stage.String(), f.Class.String()}
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// textual makes huma describe the vocabulary's types by what they marshal to.
func textual(r huma.Registry) {
	for _, v := range []any{proxy.Protocol(0), proxy.State(0), proxy.Anonymity(0), proxy.Stage(0), proxy.Class(0)} {
		r.RegisterTypeAlias(reflect.TypeOf(v), reflect.TypeFor[string]())
	}
}
