package main

import (
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/config"
)

// What one of each needs of the limit on open files.
const (
	ownFiles     = 64  // store, logs, listeners, what watches files, the runtime
	adminFiles   = 256 // connections to the admin listener and those of the drop-in APIs, at most
	listFiles    = 2   // of a list that is read: one in use, one that is kept
	checkFiles   = 2   // of a check: the proxy, and a judge that is asked directly
	checksMost   = 1000
	clientFifths = 12 // of a client, in fifths: its connection, that to an upstream, and four tenths for kept ones and hedges
)

// budget divides the descriptors of the process among its parts. Each keeps to
// its own, so none can starve another. The zero value divides nothing.
type budget struct {
	Limit   int // on open files, 0: none is known
	Own     int
	Admin   int // connections
	Lists   int
	Checks  int
	Clients int
}

// shareFiles divides what a process may have open. What the configuration does
// not need goes to others.
func shareFiles(limit uint64, cfg config.Config) budget {
	if limit == 0 || limit > math.MaxInt32 {
		return budget{}
	}
	b := budget{Limit: int(limit)}
	b.Own = min(ownFiles, b.Limit/4)
	b.Admin = min(max(b.Limit/16, 8), adminFiles)
	b.Lists = min(max(b.Limit/8, listFiles), listFiles*cfg.Scraper.Concurrency)
	rest := max(b.Limit-b.Own-b.Admin-b.Lists, checkFiles)
	checks := cfg.Checker.Concurrency
	if checks == 0 {
		checks = checksMost
	}
	b.Checks = min(rest/3, checkFiles*checks)
	b.Clients = rest - b.Checks
	if most := cfg.Gateway.MaxConnections; most > 0 && most < b.connections() {
		b.Clients = most*clientFifths/5 + 1
		b.Checks = min(rest-b.Clients, checkFiles*checks)
	}
	return b
}

// connections is how many clients there may be.
func (b budget) connections() int { return max(b.Clients*5/clientFifths, 1) }

// checks is how many checks may run.
func (b budget) checks() int { return max(b.Checks/checkFiles, 1) }

// lists is how many lists may be read at a time.
func (b budget) lists() int { return max(b.Lists/listFiles, 1) }

// fit is a configuration in which every part keeps to its share.
func (b budget) fit(cfg config.Config) config.Config {
	if b.Limit == 0 {
		return cfg
	}
	cap := func(v *int, most int) {
		if *v == 0 || *v > most {
			*v = most
		}
	}
	cap(&cfg.Gateway.MaxConnections, b.connections())
	cap(&cfg.Checker.Concurrency, min(b.checks(), max(cfg.Checker.Concurrency, checksMost)))
	cap(&cfg.Scraper.Concurrency, b.lists())
	return cfg
}

// cuts names the values that a configuration asks for and that are not to be had.
func (b budget) cuts(cfg config.Config) (out []string) {
	fits := b.fit(cfg)
	for _, v := range []struct {
		key           string
		asked, gotten int
	}{
		{"gateway.max_connections", cfg.Gateway.MaxConnections, fits.Gateway.MaxConnections},
		{"checker.concurrency", cfg.Checker.Concurrency, fits.Checker.Concurrency},
		{"scraper.concurrency", cfg.Scraper.Concurrency, fits.Scraper.Concurrency},
	} {
		if v.asked > v.gotten {
			out = append(out, fmt.Sprintf("%s is %d instead of %d", v.key, v.gotten, v.asked))
		}
	}
	return out
}

// String says who gets how many.
func (b budget) String() string {
	return fmt.Sprintf("at most %d: %d for %d connections of clients, %d for %d checks at a time, %d for lists, %d for the admin listener, %d for the rest",
		b.Limit, b.Clients, b.connections(), b.Checks, b.checks(), b.Lists, b.Admin, b.Own)
}

// Describe implements prometheus.Collector.
func (b budget) Describe(out chan<- *prometheus.Desc) { out <- budgetDesc() }

// Collect implements prometheus.Collector.
func (b budget) Collect(out chan<- prometheus.Metric) {
	for part, n := range map[string]int{"gateway": b.Clients, "checker": b.Checks, "scraper": b.Lists, "admin": b.Admin, "reserve": b.Own} {
		out <- prometheus.MustNewConstMetric(budgetDesc(), prometheus.GaugeValue, float64(n), part)
	}
}

// budgetDesc is the metric of budget; it is the same each time.
func budgetDesc() *prometheus.Desc {
	return prometheus.NewDesc("freeway_descriptors_budget", "Descriptors that a part of the program may use, out of process_max_fds; 0: no limit is known.", []string{"part"}, nil)
}
