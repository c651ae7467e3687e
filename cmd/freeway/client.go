package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/internal/certs"
)

// maxAnswer bounds what a command reads from a server, in bytes.
const maxAnswer = 64 << 20

// client asks a running server's admin API.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// serverFlag adds --server to a command.
func serverFlag(cmd *cobra.Command, server *string) {
	cmd.Flags().StringVar(server, "server", "", "`URL` of the server's admin API (default: admin.listen of the configuration)")
}

// clientOf is client with the configuration as commands find it.
func (a *app) clientOf(server string) (*client, error) {
	cfg, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	return a.client(server, cfg)
}

// client makes a client for --server, else for the server that the
// configuration describes.
func (a *app) client(server string, cfg config.Config) (*client, error) {
	if server == "" {
		server = adminURL(cfg)
	}
	base, err := url.Parse(strings.TrimSuffix(server, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usagef("--server %q is not an address such as http://127.0.0.1:8081", server)
	}
	token, err := config.Reveal(cfg.Admin.Token, a.lookup)
	if err != nil {
		return nil, fmt.Errorf("admin.token: %w", err)
	}
	secure, err := clientTLS(cfg, base.Host == reachable(cfg.Admin.Listen))
	if err != nil {
		return nil, err
	}
	if cfg.Admin.TokenFile != "" {
		text, err := os.ReadFile(cfg.Admin.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("admin.token_file: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	transport := &http.Transport{ // never through a proxy of the environment
		TLSClientConfig:       secure,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		ResponseHeaderTimeout: 2 * time.Minute,
		DisableKeepAlives:     true,
	}
	return &client{base: base, token: token, http: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// adminURL is where the server that the configuration describes is reached.
func adminURL(cfg config.Config) string {
	if cfg.Admin.TLS.On() {
		return "https://" + reachable(cfg.Admin.Listen)
	}
	return "http://" + reachable(cfg.Admin.Listen)
}

// clientTLS trusts the server's own certificate besides the system's authorities.
// Under the address at which it listens, which certificates rarely name, exactly
// that certificate is expected.
func clientTLS(cfg config.Config, own bool) (*tls.Config, error) {
	if !cfg.Admin.TLS.On() {
		return nil, nil
	}
	text, err := os.ReadFile(cfg.Admin.TLS.Cert)
	if err != nil {
		return nil, fmt.Errorf("admin.tls.cert: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without authorities
	}
	roots.AppendCertsFromPEM(text)
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if block, _ := pem.Decode(text); own && block != nil {
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("admin.tls.cert: %w", err)
		}
		if names := certs.Names(leaf); len(names) > 0 {
			conf.ServerName = strings.Replace(names[0], "*.", "any.", 1)
		}
	}
	return conf, nil
}

// reachable turns a listen address into one that can be dialled.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// errNoServer means that nobody listens where the server should be.
var errNoServer = errors.New("no server is running there; start one with \"freeway serve\" or name another with --server")

// get asks for path, an absolute path of the API, and returns the body of a 200.
func (c *client) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	resp, err := c.ask(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

// ask is get for bodies that are long. The caller closes the body.
func (c *client) ask(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && !op.Timeout() {
		return nil, fmt.Errorf("%s: %w", c.base.Redacted(), errNoServer)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return nil, problem(resp, body)
}

// answerError is an answer other than 200.
type answerError struct {
	status int
	text   string // of the status: "404 Not Found"
	detail string // what the server says; may be empty
	body   string // as it came
}

// Error says what the server answered.
func (e *answerError) Error() string {
	switch {
	case e.status == http.StatusUnauthorized:
		return "the server answers " + e.text + ": a token is needed, and commands send that of admin.token or admin.token_file; set it there or in FREEWAY_ADMIN_TOKEN"
	case e.detail == "":
		return "the server answers " + e.text
	}
	return "the server answers " + e.text + ": " + e.detail
}

// problem makes an error of an RFC 9457 document.
func problem(resp *http.Response, body []byte) error {
	var doc struct{ Title, Detail string }
	if json.Unmarshal(body, &doc) != nil {
		doc.Detail = ""
	}
	return &answerError{status: resp.StatusCode, text: resp.Status, detail: doc.Detail, body: string(body)}
}
