// Command bench measures what the gateway costs beside HAProxy and squid: CPU
// per request on clean upstreams, bulk through one tunnel, and idle tunnels.
// It starts every part as a process of its own on loopback and dials nothing
// else. HAProxy and squid take part where they are installed.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"freeway/internal/tune"
)

// options are what the command line says.
type options struct {
	runs, rate, connects, idle int
	cores                      int
	each                       time.Duration
	profile                    string
	only, beside               string
}

func main() {
	var o options
	role := flag.String("role", "", "what this process is; for the bench itself")
	flag.IntVar(&o.runs, "runs", 5, "interleaved runs")
	flag.IntVar(&o.rate, "rate", 3000, "GET requests per second")
	flag.IntVar(&o.connects, "connects", 1000, "CONNECT requests per second")
	flag.IntVar(&o.idle, "idle", 5000, "idle tunnels")
	flag.IntVar(&o.cores, "cores", 1, "cores of the gateway")
	flag.DurationVar(&o.each, "each", 4*time.Second, "time of one run")
	flag.StringVar(&o.profile, "profile", "", "file for a CPU profile of the gateway")
	flag.StringVar(&o.beside, "beside", "", "another build of this program, whose gateway takes part in the same runs")
	flag.StringVar(&o.only, "only", "get,connect,bulk,idle", "what is measured")
	flag.Parse()
	var err error
	switch *role {
	case "upstreams":
		err = serveUpstreams()
	case "gateway":
		defer tune.Server()() // as serve does
		err = serveGateway(o.profile, flag.Args())
	default:
		err = measure(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure starts the parts and prints what they cost.
func measure(o options) error {
	ups, addrs, err := startBuild("", 1, "-role", "upstreams")
	if err != nil {
		return err
	}
	defer ups.end()
	peers, err := startPeers(o, addrs)
	defer func() {
		for _, p := range peers {
			p.end()
		}
	}()
	if err != nil {
		return err
	}
	wants := strings.Split(o.only, ",")
	if slices.Contains(wants, "get") {
		if err := rounds(o, peers, "keep-alive GET", o.rate, getOnce); err != nil {
			return err
		}
	}
	if slices.Contains(wants, "connect") {
		if err := rounds(o, peers, "CONNECT", o.connects, connectOnce); err != nil {
			return err
		}
	}
	if slices.Contains(wants, "bulk") {
		if err := bulk(peers); err != nil {
			return err
		}
	}
	if slices.Contains(wants, "idle") {
		return idleTunnels(peers[0], o.idle)
	}
	return nil
}

// rounds runs one kind of load against all peers in turn and prints the median
// CPU per request of each, its ratio to HAProxy's, and how long requests took.
func rounds(o options, peers []*peer, name string, rate int, once load) error {
	costs, took := make([][]time.Duration, len(peers)), make([][]time.Duration, len(peers))
	for _, p := range peers { // warm up
		if _, err := offer(p.addr, rate, time.Second, once); err != nil {
			return fmt.Errorf("%s through %s: %w", name, p.name, err)
		}
	}
	for run := range o.runs {
		for j := range peers { // none is always the first
			i := (run + j) % len(peers)
			p := peers[i]
			before := p.cpu()
			times, err := offer(p.addr, rate, o.each, once)
			if err != nil {
				return fmt.Errorf("%s through %s: %w", name, p.name, err)
			}
			costs[i] = append(costs[i], (p.cpu()-before)/time.Duration(max(len(times), 1)))
			took[i] = append(took[i], times...)
		}
	}
	base := slices.IndexFunc(peers, func(p *peer) bool { return p.name == "haproxy" })
	for i, p := range peers {
		var ratios []float64 // to HAProxy's cost of the same turn
		for j := range costs[i] {
			if base >= 0 && costs[base][j] > 0 {
				ratios = append(ratios, float64(costs[i][j])/float64(costs[base][j]))
			}
		}
		ratio := ""
		if len(ratios) > 0 {
			ratio = fmt.Sprintf("  %.2f x haproxy", quantile(ratios, .5))
		}
		fmt.Printf("%-15s %-8s %8v per request (%v to %v)%s; takes %v, p99 %v\n", name, p.name, quantile(costs[i], .5).Round(100*time.Nanosecond),
			slices.Min(costs[i]).Round(100*time.Nanosecond), slices.Max(costs[i]).Round(100*time.Nanosecond), ratio,
			quantile(took[i], .5).Round(time.Microsecond), quantile(took[i], .99).Round(time.Microsecond))
	}
	return nil
}

// quantile returns the value that a part of all, from 0 to below 1, is not above;
// 0 of none. The values stay as they are.
func quantile[T cmp.Ordered](values []T, part float64) (v T) {
	if len(values) == 0 {
		return v
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(part*float64(len(sorted)))]
}

// bulk sends data down one tunnel of each peer.
func bulk(peers []*peer) error {
	const gib = 1 << 30
	for _, p := range peers {
		before := p.cpu()
		start := time.Now()
		if err := download(p.addr, 2*gib); err != nil {
			return fmt.Errorf("bulk through %s: %w", p.name, err)
		}
		fmt.Printf("%-15s %-8s %8.2f CPU s per GiB, %.1f Gbit/s\n", "bulk tunnel", p.name,
			(p.cpu()-before).Seconds()/2, 2*gib*8/time.Since(start).Seconds()/1e9)
	}
	return nil
}

// idleTunnels holds tunnels open and prints what each costs.
func idleTunnels(p *peer, n int) error {
	p.giveBack()
	rss, fds := p.rss(), p.descriptors()
	conns, err := openTunnels(p.addr, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil {
		return err
	}
	p.giveBack()
	fmt.Printf("%-15s %-8s %8.1f KiB and %.2f descriptors each, of %d\n", "idle tunnels", p.name,
		float64(p.rss()-rss)/1024/float64(n), float64(p.descriptors()-fds)/float64(n), n)
	return nil
}

// giveBack waits until a few collections have given back what is needed no more.
func (p *peer) giveBack() {
	for range 5 {
		_ = exec.Command("kill", "-USR1", fmt.Sprint(p.pid)).Run()
		time.Sleep(2 * time.Second)
	}
}
