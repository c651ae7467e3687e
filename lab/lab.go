package lab

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"freeway/proxy"
)

// Lab is a running lab. All methods are safe for concurrent use.
type Lab struct {
	cfg         Config
	log         *slog.Logger
	scope       *scope
	start       time.Time
	ca, otherCA *authority
	key         []byte // of the judges
	exits       *exits
	count       *counter
	bufs        buffers
	servers     servers
	admin       netip.AddrPort
	stop        func() bool // forgets the context of Start

	adding sync.Mutex // protects plumbing and the order of additions
	*plumbing

	mu    sync.RWMutex // protects the fields below
	nodes map[netip.AddrPort]*node
	all   []*node // in the order of addition
	lists *lists  // nil: made anew when asked for
}

// Start opens the lab. It runs until Close or until ctx ends.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	return start(ctx, cfg, (fileLimit()-keptFiles)/2)
}

// keptFiles is how many descriptors are left to the rest of the program; of the
// others, half are for the sockets of upstreams and half for connections.
const keptFiles = 200

// start is Start with a limit on sockets of single upstreams.
func start(ctx context.Context, cfg Config, limit int) (*Lab, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	cfg = cfg.withDefaults()
	l := &Lab{
		cfg: cfg, log: cfg.Log, scope: newScope(), start: time.Now(), exits: newExits(), count: newCounter(),
		plumbing: newPlumbing(cfg.Seed, limit), nodes: map[netip.AddrPort]*node{},
	}
	secret := make([]byte, 16)
	rand.Read(secret)
	l.key = hex.AppendEncode(nil, secret) // as text, so that it can be put into a file
	err := l.openAll(cfg)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		l.scope.close()
		return nil, fmt.Errorf("lab: %w", err)
	}
	l.stop = context.AfterFunc(ctx, l.scope.close)
	return l, nil
}

// openAll opens everything in turn.
func (l *Lab) openAll(cfg Config) error {
	var err error
	if l.ca, err = newAuthority("Lab CA"); err != nil {
		return err
	}
	if l.otherCA, err = newAuthority("Other CA"); err != nil {
		return err
	}
	if err := l.openServers(cfg.Listen); err != nil {
		return err
	}
	if err := l.openShared(cfg.Addressing, cfg.Ports); err != nil {
		return err
	}
	return l.populate(cfg)
}

// openServers opens targets, judges and the lists.
func (l *Lab) openServers(listen string) error {
	const anywhere = "127.0.0.1:0"
	hosts := append([]string{"127.0.0.1", "localhost", "*.lab.test"}, hostNames()...)
	judges := append([]string{"127.0.0.1", "localhost"}, judgeNames()...)
	var err [5]error
	l.servers.http, err[0] = l.serveHTTP(anywhere, nil, l.count, l.target())
	l.servers.https, err[1] = l.serveHTTP(anywhere, l.ca.server(hosts...), l.count, l.target())
	l.servers.judge, err[2] = l.serveHTTP(anywhere, nil, nil, l.judgeHandler())
	l.servers.judgeTLS, err[3] = l.serveHTTP(anywhere, l.ca.server(judges...), nil, l.judgeHandler())
	l.admin, err[4] = l.serveHTTP(listen, nil, nil, l.adminHandler())
	return errors.Join(err[:]...)
}

// Close ends everything at once and waits for it.
func (l *Lab) Close() error {
	l.stop()
	l.scope.close()
	return nil
}

// Add opens one more upstream and returns where it listens; the password is not in it.
func (l *Lab) Add(u Upstream) (proxy.Endpoint, error) {
	n, err := l.add(u, netip.Addr{})
	if err != nil {
		return proxy.Endpoint{}, fmt.Errorf("lab: add %s %s: %w", u.Behaviour, u.Protocol, err)
	}
	return n.ep, nil
}

// Switch changes the behaviour of an upstream and resets its connections. What
// was drawn for it stays. An upstream that becomes Refused or SilentConnect
// keeps its socket: it accepts, and resets or is silent. One at whose address
// nothing listens stays so, and one that had no schedule cannot get one.
func (l *Lab) Switch(ep proxy.Endpoint, b Behaviour) error {
	n := l.nodeAt(netip.AddrPortFrom(ep.Addr(), ep.Port))
	switch {
	case n == nil || n.ep != ep:
		return fmt.Errorf("lab: switch %s: no such upstream", ep)
	case int(b) >= len(behaviourNames) || b.scheduled() && n.plan == nil || !n.Behaviour.listens():
		return fmt.Errorf("lab: switch %s from %s to %s: impossible", ep, n.Behaviour, b)
	}
	n.become(b)
	return nil
}

// add makes an upstream at a host, or at one of its own.
func (l *Lab) add(u Upstream, host netip.Addr) (*node, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	l.adding.Lock()
	defer l.adding.Unlock()
	if l.scope.Err() != nil {
		return nil, errors.New("the lab is closed")
	}
	rng := mrand.New(mrand.NewPCG(l.cfg.Seed, uint64(len(l.all))+1))
	n := newNode(u, rng)
	if n.home = host; !host.IsValid() {
		n.home = l.hostFor(u, rng)
	}
	l.giveExits(n, rng)
	if err := l.place(n, n.home); err != nil {
		return nil, err
	}
	ep, err := proxy.NewEndpoint(n.Protocol, n.addr.Addr().String(), n.addr.Port(), n.User)
	if err != nil {
		return nil, err
	}
	n.ep, n.born = ep, time.Now()
	if n.plan != nil {
		n.plan.begin(l.start, l.cfg.Speed)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[n.addr] = n
	l.all = append(l.all, n)
	l.lists = nil
	return n, nil
}

// hostFor draws an address even when u brings its own, so that what is drawn
// afterwards does not depend on that.
func (l *Lab) hostFor(u Upstream, rng *mrand.Rand) netip.Addr {
	own := l.drawHost(rng)
	if u.Host.IsValid() {
		return u.Host.Unmap()
	}
	return own
}

// rotation is how many exits a RotatingExit has.
const rotation = 5

// giveExits decides where n leaves from.
func (l *Lab) giveExits(n *node, rng *mrand.Rand) {
	switch {
	case n.Exit.IsValid():
		n.exits = []netip.Addr{n.Exit.Unmap()}
	case n.Behaviour == RotatingExit:
		for range rotation {
			n.exits = append(n.exits, l.drawHost(rng))
		}
	default:
		n.exits = []netip.Addr{n.home}
	}
}

// nodeAt returns the upstream at an address, nil for none.
func (l *Lab) nodeAt(ap netip.AddrPort) *node {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.nodes[ap]
}

// HTTPTarget returns the base URL of the plain target, "http://127.0.0.1:port".
func (l *Lab) HTTPTarget() string { return "http://" + l.servers.http.String() }

// HTTPSTarget returns the base URL of the TLS target, "https://127.0.0.1:port".
func (l *Lab) HTTPSTarget() string { return "https://" + l.servers.https.String() }

// HTTPName returns the plain target by a name that only upstreams resolve, "http://www.lab.test".
func (l *Lab) HTTPName() string { return "http://" + hostNames()[0] }

// HTTPSName returns the TLS target by a name that only upstreams resolve, "https://www.lab.test".
func (l *Lab) HTTPSName() string { return "https://" + hostNames()[0] }

// JudgeHTTP returns the base URL of the plain judge, "http://127.0.0.1:port". Upstreams also
// reach it as http://judge.lab.test and http://judge.other.test. At /get it answers like httpbin,
// at every other path in Freeway's own format.
func (l *Lab) JudgeHTTP() string { return "http://" + l.servers.judge.String() }

// JudgeHTTPS returns the base URL of the TLS judge, "https://127.0.0.1:port". Upstreams also
// reach it as https://judge.lab.test and https://judge.other.test. See JudgeHTTP for its formats.
func (l *Lab) JudgeHTTPS() string { return "https://" + l.servers.judgeTLS.String() }

// JudgeKey returns the key with which the judges sign: text of 32 bytes, as a key file has it.
func (l *Lab) JudgeKey() []byte { return append([]byte(nil), l.key...) }

// CAPEM returns the certificate of the lab's CA in PEM.
func (l *Lab) CAPEM() []byte { return l.ca.pem() }

// Roots returns a pool with the lab's CA, which signs for targets, judges and https upstreams.
func (l *Lab) Roots() *x509.CertPool { return l.ca.roots() }

// Addressing returns how upstreams got their addresses; never Auto.
func (l *Lab) Addressing() Addressing { return l.mode }

// Hits returns what the targets have counted so far.
func (l *Lab) Hits() Hits { return l.count.snapshot() }

// DirectHits returns how many connections to the targets did not come from an upstream.
func (l *Lab) DirectHits() int { return l.Hits().Direct }
