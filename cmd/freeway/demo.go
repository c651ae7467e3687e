package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/checker"
	"freeway/config"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/scraper"
)

type demoFlags struct {
	lab          labFlags
	gateway, api string
	ownGateway   bool // the address was named, so no other will do
	ownAPI       bool
	enough       int // how many live proxies make the demo ready
	recheck      time.Duration
}

// demoCommand makes "freeway demo".
func (a *app) demoCommand() *cobra.Command {
	f := demoFlags{enough: 10, recheck: 10 * time.Second}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything over a simulated proxy internet on loopback: no network needed",
		Long: `Start the simulated proxy internet of "freeway lab" and the whole of Freeway over it,
in a temporary folder, and print where everything is as soon as the first proxies work.
It runs until Ctrl-C. Proxies come and go 20 times faster than in reality, and checks
are repeated every 10 s instead of every 5 min, so that there is something to see.`,
		Example: "  freeway demo\n  freeway demo --upstreams 2000 --seed 7",
		Args:    cobra.NoArgs,
	}
	f.lab.add(cmd.Flags(), 600, 20)
	cmd.Flags().StringVar(&f.gateway, "gateway.listen", "127.0.0.1:8080", "`ADDRESS` of the gateway; the default gives way to a free port where it is taken")
	cmd.Flags().StringVar(&f.api, "admin.listen", "127.0.0.1:8081", "`ADDRESS` of API and dashboard; the default gives way to a free port where it is taken")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f.ownGateway, f.ownAPI = cmd.Flags().Changed("gateway.listen"), cmd.Flags().Changed("admin.listen")
		if f.lab.upstreams < 1 {
			return usagef("--upstreams %d: a demo needs at least 1", f.lab.upstreams)
		}
		f.enough = min(f.enough, max(1, f.lab.upstreams/10))
		return a.demo(cmd.Context(), f)
	}
	return cmd
}

// demo runs until ctx ends. It prints where things are once enough proxies are
// live.
func (a *app) demo(ctx context.Context, f demoFlags) error {
	level := new(slog.LevelVar)
	cfg := config.DefaultLog()
	cfg.Level = orDefault(a.logLevel, "warn")
	out, err := a.openLog(cfg, level)
	if err != nil {
		return err
	}
	defer out.Close(logFlush) //nolint:errcheck // there is nobody left to tell
	d, err := startDemo(ctx, f, out.Logger())
	if err != nil {
		return err
	}
	defer d.close()
	a.note("%d simulated proxies are up; checking them", len(d.lab.Truth()))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ended error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended = d.server.run(ctx)
	}()
	line := a.watch(io.Discard, func() string {
		st := d.server.pool.Stats()
		return fmt.Sprintf("%d of %d checked, %d live, %d are enough", st.Total-st.New, st.Total, st.Live, f.enough)
	})
	live := a.awaitLive(ctx, d.server, f.enough, done)
	line.end()
	if live {
		if _, err := fmt.Fprint(a.stdout, d.text()); err != nil {
			cancel()
		}
	}
	<-done
	return ended
}

// orDefault returns preset when s is empty.
func orDefault(s, preset string) string {
	if s == "" {
		return preset
	}
	return s
}

// demo is a lab and a server over it, in a temporary folder.
type demo struct {
	lab    *lab.Lab
	server *server
	dir    string
	ca     string
}

// startDemo opens lab and server. With an error nothing is left open.
func startDemo(ctx context.Context, f demoFlags, log *slog.Logger) (d *demo, err error) {
	lc, err := f.lab.config(log)
	if err != nil {
		return nil, err
	}
	d = &demo{}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	if d.dir, err = os.MkdirTemp("", "freeway-demo-"); err != nil {
		return d, err
	}
	if d.lab, err = lab.Start(context.WithoutCancel(ctx), lc); err != nil {
		return d, err
	}
	d.ca = orDefault(f.lab.ca, filepath.Join(d.dir, "ca.pem"))
	if err = os.WriteFile(d.ca, d.lab.CAPEM(), 0o644); err != nil {
		return d, err
	}
	cfg := d.config(f)
	if err = cfg.Validate(); err != nil {
		return d, usageError{err}
	}
	opt := serverOptions{log: log, control: loopback.Control, demo: true, direct: judgesOf(d.lab), place: demoPlace}
	d.server, err = openServer(ctx, cfg, opt)
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "listen" && !(f.ownGateway && f.ownAPI) {
		if !f.ownGateway {
			cfg.Gateway.Listen = "127.0.0.1:0"
		}
		if !f.ownAPI {
			cfg.Admin.Listen = "127.0.0.1:0"
		}
		d.server, err = openServer(ctx, cfg, opt)
	}
	return d, err
}

// config is the default with intervals shrunk to the lab's fast clock, with the
// lab's lists and judges instead of public ones, and loopback allowed.
func (d *demo) config(f demoFlags) config.Config {
	cfg := config.Default()
	loop := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Store.Path = filepath.Join(d.dir, "freeway.db")
	cfg.Gateway.Listen, cfg.Admin.Listen = f.gateway, f.api
	cfg.Gateway.Drain = 3 * time.Second
	cfg.Network.AllowUpstreams, cfg.Network.AllowTargets = loop, loop
	cfg.Scraper.Schedule = "@every 10s"
	cfg.Sources = scraper.Sources{List: d.sources()}
	cfg.Checker.ConnectTimeout, cfg.Checker.Timeout = 2*time.Second, 4*time.Second
	cfg.Checker.Recheck = f.recheck
	cfg.Checker.Rate = 0
	cfg.Checker.JudgeCA = d.ca
	cfg.Checker.OwnIPs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	cfg.Checker.Judges = namedJudges()
	return cfg
}

// sources names a source after each of the lab's lists, "lab-socks5" for socks5.txt.
func (d *demo) sources() []scraper.Source {
	var out []scraper.Source
	for _, u := range d.lab.ListURLs() {
		name := strings.TrimSuffix(path.Base(u), ".txt")
		src := scraper.Source{Name: "lab-" + name, URL: u}
		switch name {
		case "http", "https", "socks4", "socks5":
			src.Protocols = []string{name}
		}
		out = append(out, src)
	}
	return out
}

// judgeNames are two operators, so that one can confirm the other.
var judgeNames = [...]string{"judge.lab.test", "judge.other.test"}

// namedJudges are the lab's judges by the names that its upstreams resolve, so
// that checks show which of them resolve names. Their answers are signed, but
// the checker would need the key in a file, and nobody lies about judges on
// loopback.
func namedJudges() []checker.Judge {
	var out []checker.Judge
	for _, name := range judgeNames {
		out = append(out, checker.Judge{URL: "http://" + name + "/"}, checker.Judge{URL: "https://" + name + "/"})
	}
	return out
}

// judgesOf is the way to the lab's judges without a proxy: no system resolves
// their names.
func judgesOf(l *lab.Lab) func(context.Context, string, string) (net.Conn, error) {
	where := map[string]string{}
	for _, name := range judgeNames {
		where[name+":80"] = strings.TrimPrefix(l.JudgeHTTP(), "http://")
		where[name+":443"] = strings.TrimPrefix(l.JudgeHTTPS(), "https://")
	}
	d := net.Dialer{Control: loopback.Control}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		to, ok := where[addr]
		if !ok {
			return nil, fmt.Errorf("no judge is called %s", addr)
		}
		return d.DialContext(ctx, network, strings.TrimSuffix(to, "/"))
	}
}

// awaitLive waits until enough proxies are live, and shows how far it is. It
// reports whether that happened before the end.
func (a *app) awaitLive(ctx context.Context, s *server, enough int, done <-chan struct{}) bool {
	show := a.canMove(a.stderr) && !a.quiet
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	if show {
		defer fmt.Fprint(a.stderr, "\r\033[K")
	}
	for {
		st := s.pool.Stats()
		if st.Live >= enough {
			return true
		}
		if show {
			fmt.Fprintf(a.stderr, "\r%d of %d checked, %d live \033[K", st.Total-st.New, st.Total, st.Live)
		}
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return false
		case <-tick.C:
		}
	}
}

// text tells a newcomer where everything is and what to paste.
func (d *demo) text() string {
	gw, admin := d.server.gateway.Addr(), d.server.admin.Addr()
	var b strings.Builder
	fmt.Fprintf(&b, "gateway    http://%s  (HTTP, CONNECT, SOCKS4, 4a and 5)\n", gw)
	fmt.Fprintf(&b, "API        http://%s/api/proxies\n", admin)
	fmt.Fprintf(&b, "dashboard  http://%s/\n", admin)
	fmt.Fprintf(&b, "truth      %s\n\n", d.lab.TruthURL())
	fmt.Fprintf(&b, "curl -x http://%s %s/ip\n", gw, d.lab.HTTPName())
	fmt.Fprintf(&b, "curl -x http://%s --cacert %s %s/ip\n\n", gw, d.ca, d.lab.HTTPSName())
	b.WriteString("Ctrl-C ends it.\n")
	return b.String()
}

// close ends what is still running and removes the folder.
func (d *demo) close() {
	if d.server != nil {
		d.server.close() //nolint:errcheck // its files go away with the folder
	}
	if d.lab != nil {
		d.lab.Close() //nolint:errcheck // nothing of it remains
	}
	if d.dir != "" {
		os.RemoveAll(d.dir)
	}
}
