package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"

	"freeway/config"
	"freeway/proxy"
	"freeway/scraper"
)

// inputKind is what an INPUT argument names.
type inputKind uint8

const (
	inputFile inputKind = iota
	inputStdin
	inputURL   // a list to fetch
	inputProxy // one proxy
)

const inputHelp = `An INPUT is a file, - for stdin, the http or https address of a list, or a proxy:
socks5://host:port, http://host:port (a port and no path) or host:port.`

// kindOf tells what an argument names. A web address with a path, or without a
// port, is a list; "http://1.2.3.4:8080" is a proxy.
func kindOf(arg string) inputKind {
	if arg == "-" {
		return inputStdin
	}
	if scheme, _, ok := strings.Cut(arg, "://"); ok {
		u, err := url.Parse(arg)
		web := strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
		if web && (err != nil || u.Port() == "" || u.RawQuery != "" || u.Path != "" && u.Path != "/") {
			return inputURL
		}
		return inputProxy
	}
	if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) {
		if _, _, err := proxy.ParseURL(arg); err == nil {
			return inputProxy
		}
	}
	return inputFile
}

// reader reads lists for scan and scrape.
type reader struct {
	app       *app
	cfg       config.Config
	policy    proxy.AddrPolicy
	as        string
	protocols []proxy.Protocol
	rejected  func(input string, r scraper.Rejection) // nil: nobody is told
	took      atomic.Int64                            // bytes of files and stdin that were read
}

// read yields the candidates of one input and returns how many there were.
// It ends early when yield says so or ctx ends.
func (r *reader) read(ctx context.Context, arg string, yield func(proxy.Candidate) bool) (int, error) {
	switch kindOf(arg) {
	case inputProxy:
		return r.one(arg, yield)
	case inputURL:
		return r.fetch(ctx, scraper.Source{URL: arg, As: r.as, Protocols: names(r.protocols)}, yield)
	case inputStdin:
		return r.parse(ctx, "stdin", ctxReader{ctx, r.app.stdin, &r.took}, yield)
	}
	f, err := os.Open(arg)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return r.parse(ctx, arg, ctxReader{ctx, f, &r.took}, yield)
}

// ctxReader stops giving bytes once ctx has ended.
type ctxReader struct {
	ctx  context.Context
	r    io.Reader
	took *atomic.Int64 // bytes; nil: nobody counts
}

// Read fails once the context has ended.
func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if c.took != nil {
		c.took.Add(int64(n))
	}
	return n, err
}

// parse streams a list through scraper.Parse.
func (r *reader) parse(ctx context.Context, name string, in ctxReader, yield func(proxy.Candidate) bool) (int, error) {
	opt := scraper.ParseOptions{As: r.as, Protocols: r.protocols, Policy: r.policy}
	if r.rejected != nil {
		opt.Rejected = func(rej scraper.Rejection) { r.rejected(name, rej) }
	}
	n := 0
	for c, err := range scraper.Parse(in, opt) {
		if err != nil {
			return n, fmt.Errorf("read %s: %w", name, err)
		}
		n++
		if !yield(c) {
			break
		}
	}
	return n, ctx.Err()
}

// one takes an argument that is a proxy itself.
func (r *reader) one(arg string, yield func(proxy.Candidate) bool) (int, error) {
	ep, password, err := proxy.ParseURL(arg)
	if err == nil {
		if err = r.policy.CheckHost(ep.Host); err != nil {
			err = fmt.Errorf("%w; --allow-upstreams with its range lets it be used", err)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("proxy %s: %w", redact(arg), err)
	}
	c := proxy.Candidate{Endpoint: ep, Password: password}
	if !strings.Contains(arg, "://") {
		c.Guess = len(r.protocols) == 0
		for _, p := range r.protocols {
			c.Endpoint.Protocol = p
			if !yield(c) {
				return 1, nil
			}
		}
	}
	if c.Guess || strings.Contains(arg, "://") {
		yield(c)
	}
	return 1, nil
}

// fetch reads a list from the network, or a configured source.
func (r *reader) fetch(ctx context.Context, src scraper.Source, yield func(proxy.Candidate) bool) (int, error) {
	s, err := r.app.fetcher(r.cfg, r.policy)
	if err != nil {
		return 0, err
	}
	res, err := s.Fetch(ctx, src)
	if r.rejected != nil {
		for _, rej := range res.Rejections {
			r.rejected(res.URL, rej)
		}
	}
	for _, c := range res.Found {
		if !yield(c) {
			break
		}
	}
	return len(res.Found), err
}

// fetcher makes a scraper that only fetches.
func (a *app) fetcher(cfg config.Config, policy proxy.AddrPolicy) (*scraper.Scraper, error) {
	return scraper.Open(cfg.Scraper, scraper.Sources{}, scraper.Env{Policy: policy, Control: a.control(), UserAgent: userAgent()})
}

// userAgent is the honest name with which lists are fetched.
func userAgent() string { return "freeway/" + versionText() + " (proxy list reader)" }

// names are the protocols as sources write them.
func names(protocols []proxy.Protocol) []string {
	var out []string
	for _, p := range protocols {
		out = append(out, p.String())
	}
	return out
}

// redact hides a password in an argument that is shown again.
func redact(arg string) string {
	at := strings.LastIndexByte(arg, '@')
	if at < 0 {
		return fmt.Sprintf("%q", arg)
	}
	scheme, rest, ok := strings.Cut(arg[:at], "://")
	if !ok {
		scheme, rest = "", arg[:at]
	} else {
		scheme += "://"
	}
	user, _, _ := strings.Cut(rest, ":")
	return fmt.Sprintf("%q", scheme+user+":***"+arg[at:])
}

// protocolFlags is a repeatable flag of protocols.
type protocolFlags []proxy.Protocol

// String lists the protocols.
func (p *protocolFlags) String() string { return strings.Join(names(*p), ",") }

// Set adds protocols; several are separated by commas.
func (p *protocolFlags) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		v, err := proxy.ParseProtocol(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		*p = append(*p, v)
	}
	return nil
}

// Type names the value in help texts.
func (p *protocolFlags) Type() string { return "P" }

// allowFlag adds --allow-upstreams, which widens network.allow_upstreams.
func allowFlag(flags *pflag.FlagSet) func(*config.Config) error {
	ranges := flags.StringSlice("allow-upstreams", nil, "also use proxies in this non-public `RANGE`, for example 127.0.0.0/8 (repeatable)")
	return func(cfg *config.Config) error {
		for _, s := range *ranges {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return usagef("--allow-upstreams %q is not a range such as 127.0.0.0/8", s)
			}
			cfg.Network.AllowUpstreams = append(cfg.Network.AllowUpstreams, p.Masked())
		}
		return nil
	}
}
