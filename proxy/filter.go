package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter says which entries are wanted. The zero value wants all. Within one
// field the values are alternatives; the fields must all hold.
type Filter struct {
	Protocols  []Protocol
	Countries  []string // ISO 3166-1 alpha-2, upper case
	ASNs       []uint32
	Anonymity  Anonymity // at least
	Tunnel     Tri
	MaxLatency time.Duration // 0: any
	MinScore   float64       // 0 to 1
	Sources    []string
	Pools      []string
	Exits      []netip.Prefix
	Targets    []string // names of per-target checks that must have passed
	States     []State
	URL        string // canonical text of one endpoint
}

// FilterKeys are the names that Filter.Set knows, the same in queries, user
// names and flags. "state" and "url" are for the API and the command line only.
func FilterKeys() []string {
	return []string{"protocol", "country", "asn", "anonymity", "tunnel", "max_latency", "min_score", "source", "pool",
		"exit", "target", "state", "url"}
}

// Set reads one filter by its name; several values are separated by commas,
// case does not matter. The error names the key and the values that would do.
func (f *Filter) Set(key, value string) error {
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("%s: no value", key)
	}
	var err error
	switch key {
	case "protocol":
		f.Protocols, err = each(value, ParseProtocol)
	case "country":
		f.Countries, err = each(value, parseCountry)
	case "asn":
		f.ASNs, err = each(value, ParseASN)
	case "anonymity":
		err = f.Anonymity.UnmarshalText([]byte(value))
	case "tunnel":
		f.Tunnel, err = parseTri(value)
	case "max_latency":
		f.MaxLatency, err = parseMillis(value)
	case "min_score":
		f.MinScore, err = strconv.ParseFloat(value, 64)
		if err != nil || !(f.MinScore >= 0 && f.MinScore <= 1) {
			err = fmt.Errorf("bad score %q; use a number from 0 to 1", clip(value))
		}
	case "source":
		f.Sources, err = each(value, parseLabel)
	case "pool":
		f.Pools, err = each(value, parseLabel)
	case "exit":
		f.Exits, err = each(value, parsePrefix)
	case "target":
		f.Targets, err = each(value, parseLabel)
	case "state":
		f.States, err = each(value, func(s string) (st State, err error) { return st, st.UnmarshalText([]byte(s)) })
	case "url":
		var e Endpoint
		e, _, err = ParseURL(value)
		f.URL = e.String()
	default:
		return fmt.Errorf("unknown filter %q; use one of %s", clip(key), strings.Join(FilterKeys(), ", "))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// Match reports whether the entry is wanted. Targets are not looked at here:
// only the pool knows what per-target checks found.
func (f *Filter) Match(e *Entry) bool {
	t := &e.Traits
	return among(f.Protocols, e.Endpoint.Protocol) &&
		among(f.Countries, t.Country) &&
		among(f.ASNs, t.ASN) &&
		t.Anonymity >= f.Anonymity &&
		(f.Tunnel == Unknown || t.Tunnel == f.Tunnel) &&
		(f.MaxLatency == 0 || e.Latency > 0 && e.Latency <= f.MaxLatency) &&
		e.Score >= f.MinScore &&
		(len(f.Sources) == 0 || slices.ContainsFunc(e.Sources, func(s string) bool { return slices.Contains(f.Sources, s) })) &&
		among(f.Pools, e.Pool) &&
		(len(f.Exits) == 0 || slices.ContainsFunc(f.Exits, func(p netip.Prefix) bool { return p.Contains(t.ExitIP) })) &&
		among(f.States, e.State) &&
		(f.URL == "" || f.URL == e.Endpoint.String())
}

// IsZero reports whether the filter wants everything.
func (f *Filter) IsZero() bool {
	return len(f.Protocols)+len(f.Countries)+len(f.ASNs)+len(f.Sources)+len(f.Pools)+len(f.Exits)+len(f.Targets)+
		len(f.States) == 0 && f.Anonymity == 0 && f.Tunnel == 0 && f.MaxLatency == 0 && f.MinScore == 0 && f.URL == ""
}

func among[T comparable](wanted []T, v T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, v)
}

func each[T any](value string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for part := range strings.SplitSeq(value, ",") {
		v, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func parseCountry(s string) (string, error) {
	s = strings.ToUpper(s)
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return "", fmt.Errorf("bad country %q; use two letters (ISO 3166-1), for example de", clip(s))
	}
	return s, nil
}

func parseTri(s string) (Tri, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "1":
		return Yes, nil
	case "false", "no", "0":
		return No, nil
	}
	return Unknown, fmt.Errorf("bad value %q; use true or false", clip(s))
}

func parseMillis(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("bad latency %q; use milliseconds, for example 800", clip(s))
	}
	return time.Duration(n) * time.Millisecond, nil
}

func parseLabel(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("empty name")
	}
	return strings.ToLower(s), nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return a.Unmap().Prefix(a.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("bad exit %q; use an address or a range such as 1.2.3.0/24", clip(s))
	}
	return p.Masked(), nil
}
