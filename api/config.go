package api

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"freeway/proxy"
)

// Config is the `admin:` section.
type Config struct {
	Listen    string       `yaml:"listen"`     // host:port of the API, the dashboard and /metrics; port 0 picks one; default 127.0.0.1:8081
	Token     proxy.Secret `yaml:"token"`      // what clients send as a bearer token; empty: nobody is asked for one
	TokenFile string       `yaml:"token_file"` // a file that holds the token, read at start; instead of Token
	Tokens    []Token      `yaml:"tokens"`     // more tokens, each with a role; Token and TokenFile are those of an admin
	TLS       TLS          `yaml:"tls"`        // makes the listener HTTPS, and certificates of clients credentials
	Pprof     bool         `yaml:"pprof"`      // serve /debug/pprof; default false
	Hosts     []string     `yaml:"hosts"`      // names, without port, under which browsers may reach the listener besides IP addresses and localhost

	Ready        Ready        `yaml:"ready"`        // when /readyz says that traffic may come
	Alertmanager Alertmanager `yaml:"alertmanager"` // what alerts may bring about; default nothing
}

// DefaultListen is where the admin API listens when nothing else is said.
const DefaultListen = "127.0.0.1:8081"

// Validate reports every mistake, each beginning with the key it is about.
// It looks at nothing but the values.
func (c Config) Validate() error {
	var errs []error
	host, err := listenHost(c.Listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if !c.Token.IsZero() && c.Token.Reference() == "" && c.TokenFile != "" {
		errs = append(errs, errors.New("token_file: give either token or token_file"))
	}
	names := map[string]bool{}
	for i, t := range c.Tokens {
		errs = append(errs, under(fmt.Sprintf("tokens[%d]", i), t.validate())...)
		if names[t.Name] {
			errs = append(errs, fmt.Errorf("tokens[%d].name: %q is there already", i, t.Name))
		}
		names[t.Name] = true
	}
	if err == nil && !isLoopback(host) && c.Token.IsZero() && c.TokenFile == "" && len(c.Tokens) == 0 && len(c.TLS.Clients) == 0 {
		errs = append(errs, fmt.Errorf("listen: %s is not a loopback address, and without a token everybody who reaches it could change the pool; set admin.token_file or listen on 127.0.0.1", c.Listen))
	}
	errs = append(errs, under("tls", c.TLS.validate())...)
	errs = append(errs, under("ready", c.Ready.validate())...)
	errs = append(errs, under("alertmanager", c.Alertmanager.validate())...)
	for i, h := range c.Hosts {
		if _, err := proxy.ParseTarget(h, 80); err != nil {
			errs = append(errs, fmt.Errorf("hosts[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// under returns the mistakes of a part, each a line of err, below the part's key.
func under(key string, err error) (errs []error) {
	if err == nil {
		return nil
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		errs = append(errs, errors.New(key+"."+line))
	}
	return errs
}

func listenHost(listen string) (string, error) {
	if listen == "" {
		listen = DefaultListen
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("bad address %q; write host:port, for example %s", listen, DefaultListen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.Itoa(int(n)) != port {
		return "", fmt.Errorf("bad port in %q; use 0 to 65535", listen)
	}
	return host, nil
}

// isLoopback knows addresses and localhost; other names could be anywhere.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
