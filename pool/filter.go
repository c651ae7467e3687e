package pool

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"freeway/proxy"
)

// describe names the conditions of a filter.
func describe(f *proxy.Filter) []string {
	var out []string
	add := func(key string, on bool, value string) {
		if on {
			out = append(out, key+"="+value)
		}
	}
	add("protocol", len(f.Protocols) > 0, join(f.Protocols, proxy.Protocol.String))
	add("country", len(f.Countries) > 0, strings.Join(f.Countries, ","))
	add("asn", len(f.ASNs) > 0, join(f.ASNs, func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }))
	add("anonymity", f.Anonymity > 0, f.Anonymity.String())
	add("tunnel", f.Tunnel != proxy.Unknown, f.Tunnel.String())
	add("max_latency", f.MaxLatency > 0, strconv.FormatInt(f.MaxLatency.Milliseconds(), 10))
	add("min_score", f.MinScore > 0, strconv.FormatFloat(f.MinScore, 'g', -1, 64))
	add("source", len(f.Sources) > 0, strings.Join(f.Sources, ","))
	add("pool", len(f.Pools) > 0, strings.Join(f.Pools, ","))
	add("exit", len(f.Exits) > 0, join(f.Exits, netip.Prefix.String))
	add("target", len(f.Targets) > 0, strings.Join(f.Targets, ","))
	add("state", len(f.States) > 0, join(f.States, proxy.State.String))
	add("url", f.URL != "", f.URL)
	return out
}

// join prints the values of one condition, separated by commas.
func join[T any](list []T, text func(T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	return strings.Join(out, ",")
}

// upperAll returns the strings in upper case.
func upperAll(list []string) []string { return each(list, strings.ToUpper) }

// lowerAll returns the strings in lower case.
func lowerAll(list []string) []string { return each(list, strings.ToLower) }

// each returns the changed strings, nil for none.
func each(list []string, change func(string) string) (out []string) {
	for _, s := range list {
		out = append(out, change(s))
	}
	return out
}

// single splits a filter into filters of one condition each, in the order of
// describe.
func single(f *proxy.Filter) []proxy.Filter {
	var out []proxy.Filter
	add := func(g proxy.Filter) {
		if !g.IsZero() {
			out = append(out, g)
		}
	}
	add(proxy.Filter{Protocols: f.Protocols})
	add(proxy.Filter{Countries: f.Countries})
	add(proxy.Filter{ASNs: f.ASNs})
	add(proxy.Filter{Anonymity: f.Anonymity})
	add(proxy.Filter{Tunnel: f.Tunnel})
	add(proxy.Filter{MaxLatency: f.MaxLatency})
	add(proxy.Filter{MinScore: f.MinScore})
	add(proxy.Filter{Sources: f.Sources})
	add(proxy.Filter{Pools: f.Pools})
	add(proxy.Filter{Exits: f.Exits})
	add(proxy.Filter{Targets: f.Targets})
	add(proxy.Filter{States: f.States})
	add(proxy.Filter{URL: f.URL})
	return out
}

// deniedBy says which part of the filter is against the entry, "" for none.
func (f *FilterConfig) deniedBy(e *proxy.Entry) string {
	t := &e.Traits
	switch {
	case len(f.Countries) > 0 && !slices.Contains(f.Countries, t.Country):
		return "filter.countries"
	case slices.Contains(f.DenyCountries, t.Country):
		return "filter.deny_countries"
	case slices.Contains(f.DenyASNs, t.ASN):
		return "filter.deny_asns"
	case f.denies(t.ExitIP), f.denies(e.Endpoint.Addr()):
		return "filter.deny_cidrs"
	}
	return ""
}

// allows reports whether an entry may be handed out.
func (f *FilterConfig) allows(e *proxy.Entry) bool { return f.deniedBy(e) == "" }

// denies reports whether an address is in one of DenyCIDRs.
func (f *FilterConfig) denies(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(f.DenyCIDRs, func(p netip.Prefix) bool { return p.Contains(a) })
}

// upper returns the filter with its countries in upper case.
func (f FilterConfig) upper() FilterConfig {
	f.Countries, f.DenyCountries = upperAll(f.Countries), upperAll(f.DenyCountries)
	return f
}
