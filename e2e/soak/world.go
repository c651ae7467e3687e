package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

// worldInfo is the first line that the world prints.
type worldInfo struct {
	Lists       []string // URLs
	Judges      []string // URLs
	Key, CA     string
	HTTP, HTTPS string   // targets, by a name that only upstreams resolve
	Good        int      // upstreams that work at the start
	Steady      []string // host:port of HTTP upstreams that work all the time and take equally long
}

// worldReport answers each line that the world reads.
type worldReport struct {
	Direct     int // connections to a target that came through no upstream
	Duplicates int // requests with a body that reached a target twice
	Requests   int
	Switched   int // times that an upstream died or came back
}

// How upstreams come and go. What is dead returns, so that the world stays of one size.
const (
	churnEvery = 10 * time.Second
	deadFor    = 6 // rounds
	churnPart  = 30
	usual      = 100 * time.Millisecond
	steady     = 4
)

// worldMix has 30 % hostile upstreams. None of them turns hostile later: what a
// proxy does to plain HTTP before the next check of its contents nobody can see.
func worldMix() []lab.Share {
	protocols := []proxy.Protocol{proxy.HTTP, proxy.HTTP, proxy.HTTP, proxy.SOCKS5, proxy.SOCKS4}
	mix := []lab.Share{{Behaviour: lab.Healthy, Weight: 70, Latency: usual}}
	for _, b := range []lab.Behaviour{lab.Tamper, lab.Intercept, lab.LyingExit, lab.Inject, lab.Cookies, lab.Forger, lab.Silent, lab.Slow, lab.Flaky,
		lab.ResetMidBody, lab.CutBody, lab.CutBodyFramed, lab.Garbage, lab.LoginPage, lab.HTMLAfter200} {
		mix = append(mix, lab.Share{Behaviour: b, Weight: 2, Latency: usual})
	}
	for i := range mix {
		mix[i].Protocols = protocols
	}
	return mix
}

// serveWorld runs the lab until standard input ends, and answers each of its lines with a report.
func serveWorld(upstreams int) error {
	l, err := lab.Start(context.Background(), lab.Config{Seed: 7, Upstreams: upstreams, Mix: worldMix()})
	if err != nil {
		return err
	}
	defer l.Close()
	info := worldInfo{Lists: l.ListURLs(), Judges: []string{l.JudgeHTTP() + "/", l.JudgeHTTPS() + "/"}, Key: string(l.JudgeKey()), CA: string(l.CAPEM()),
		HTTP: l.HTTPName(), HTTPS: l.HTTPSName()}
	c := churn{lab: l}
	for _, t := range l.Truth() {
		if t.Behaviour == lab.Healthy {
			info.Good++
			c.up = append(c.up, t.Endpoint)
		}
	}
	for range steady {
		ep, err := l.Add(lab.Upstream{Protocol: proxy.HTTP, Latency: usual})
		if err != nil {
			return err
		}
		info.Steady = append(info.Steady, fmt.Sprintf("%s:%d", ep.Host, ep.Port))
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(info); err != nil {
		return err
	}
	return c.serve(out)
}

// churn lets upstreams die and come back.
type churn struct {
	lab      *lab.Lab
	up       []proxy.Endpoint
	dead     [][]proxy.Endpoint // by round, the oldest first
	switched int
}

// serve answers "report" and begins to kill at "churn".
func (c *churn) serve(out *json.Encoder) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- strings.TrimSpace(in.Text())
		}
	}()
	tick := time.NewTicker(churnEvery)
	defer tick.Stop()
	busy := false
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			busy = line == "churn"
			h := c.lab.Hits()
			if err := out.Encode(worldReport{Direct: h.Direct, Duplicates: h.Duplicates, Requests: h.Requests, Switched: c.switched}); err != nil {
				return err
			}
		case <-tick.C:
			if busy {
				c.round()
			}
		}
	}
}

// round kills some upstreams and brings those back that have been dead long enough.
func (c *churn) round() {
	rand.Shuffle(len(c.up), func(i, j int) { c.up[i], c.up[j] = c.up[j], c.up[i] })
	n := (len(c.up) + churnPart - 1) / churnPart
	die := c.up[:n:n]
	c.up = c.up[n:]
	for i, ep := range die {
		c.turn(ep, []lab.Behaviour{lab.Silent, lab.Refused, lab.Garbage}[i%3])
	}
	c.dead = append(c.dead, die)
	if len(c.dead) <= deadFor {
		return
	}
	for _, ep := range c.dead[0] {
		c.turn(ep, lab.Healthy)
	}
	c.up = append(append([]proxy.Endpoint(nil), c.up...), c.dead[0]...)
	c.dead = c.dead[1:]
}

// turn switches one.
func (c *churn) turn(ep proxy.Endpoint, b lab.Behaviour) {
	if err := c.lab.Switch(ep, b); err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
		return
	}
	c.switched++
}
