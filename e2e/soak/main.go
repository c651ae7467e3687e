// Command soak holds the built command under mixed load for a long time and
// says at the end whether anything grew, leaked, slowed down or went wrong.
//
// It starts a world of upstreams, of which 30 % are hostile, in a process of its own, the command
// as another, and clients of every kind here. Meanwhile upstreams die and come
// back, the configuration is replaced and read again on SIGHUP, and the
// certificate of the TLS listener is renewed. verdict.go says what is judged.
// It looks into /proc and so runs on Linux. With GODEBUG=memprofilerate=4096 heap
// profiles are kept, too; they add to the heap that is judged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options is what the command line says.
type options struct {
	freeway     string        // the binary under test
	out         string        // a folder for logs and profiles; "": a temporary one that is removed
	load        time.Duration // how long there is load; a fifth of it warms up
	connections int           // clients, most of which hold one connection
	rate        float64       // requests a second, all clients together
	upstreams   int
}

// grace is what start, settling and the end may take besides the load.
const grace = 7 * time.Minute

func main() {
	var o options
	role := flag.String("role", "", "what this process is; for the soak itself")
	flag.StringVar(&o.freeway, "freeway", "./freeway", "the binary under test")
	flag.StringVar(&o.out, "out", "", "folder for the log and profiles")
	flag.DurationVar(&o.load, "for", 20*time.Minute, "how long there is load, 10s to 24h")
	flag.IntVar(&o.connections, "connections", 1000, "clients, 20 to 10000")
	flag.Float64Var(&o.rate, "rate", 250, "requests a second of all clients together")
	flag.IntVar(&o.upstreams, "upstreams", 300, "proxies in the world, 20 to 2000")
	flag.Parse()
	var err error
	if *role == "world" {
		err = serveWorld(o.upstreams)
	} else {
		err = soak(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// check refuses what makes no sense.
func (o options) check() error {
	if o.load < 10*time.Second || o.load > 24*time.Hour || o.connections < 20 || o.connections > 10_000 || o.rate < 1 || o.rate > 5000 ||
		o.upstreams < 20 || o.upstreams > 2000 {
		return errors.New("a number is out of range; see -help")
	}
	return nil
}

// soak runs the whole and returns an error when a verdict fails.
func soak(o options) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.load+grace)
	defer cancel()
	s, err := open(ctx, o)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	return s.judge()
}
