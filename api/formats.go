package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"freeway/proxy"
)

// export is a file for another program, made of a list of proxies. What the
// program cannot use is left out: protocols that it does not speak, proxies that
// do not tunnel, through which no https page can be had, and endpoints with a
// user, as passwords never leave.
type export struct {
	kind      string // content type
	protocols []proxy.Protocol
	numeric   bool // hosts must be addresses
	write     func(w *bufio.Writer, all iter.Seq[proxy.Entry]) error
}

var (
	allProtocols = []proxy.Protocol{proxy.HTTP, proxy.HTTPS, proxy.SOCKS4, proxy.SOCKS5}
	httpOnly     = []proxy.Protocol{proxy.HTTP}
)

// exports are the files by the value of ?format=. The programs' own parsers
// accept them, which tests demand of those that can be had.
var exports = map[string]export{
	"proxychains": {"text/plain; charset=utf-8", []proxy.Protocol{proxy.HTTP, proxy.SOCKS4, proxy.SOCKS5}, true, writeProxychains},
	"pac":         {"application/x-ns-proxy-autoconfig", allProtocols, false, writePAC},
	"clash":       {"application/yaml", []proxy.Protocol{proxy.HTTP, proxy.HTTPS, proxy.SOCKS5}, false, writeClash},
	"sing-box":    {"application/json", allProtocols, false, writeSingBox},
	"foxyproxy":   {"application/json", allProtocols, false, writeFoxyProxy},
	"haproxy":     {"text/plain; charset=utf-8", []proxy.Protocol{proxy.HTTP, proxy.SOCKS4, proxy.SOCKS5}, true, writeHAProxy},
	"squid":       {"text/plain; charset=utf-8", httpOnly, false, writeSquid},
	"scrapy":      {"text/x-python; charset=utf-8", httpOnly, false, writeScrapy},
}

// Formats are the values of ?format= of a list.
func Formats() []string {
	return []string{"json", "ndjson", "csv", "txt", "proxychains", "pac", "clash", "sing-box", "foxyproxy", "haproxy", "squid", "scrapy"}
}

// usableBy keeps what the program can use.
func (x export) usableBy(all iter.Seq[proxy.Entry]) iter.Seq[proxy.Entry] {
	return func(yield func(proxy.Entry) bool) {
		for e := range all {
			ep := e.Endpoint
			if slices.Contains(x.protocols, ep.Protocol) && e.Traits.Tunnel == proxy.Yes && ep.User == "" && (!x.numeric || ep.Addr().IsValid()) && !yield(e) {
				return
			}
		}
	}
}

// writeExport prints the file over proxies that the program can use, see usableBy.
func writeExport(w io.Writer, x export, usable iter.Seq[proxy.Entry]) error {
	b := bufio.NewWriter(w)
	if err := x.write(b, usable); err != nil {
		return err
	}
	return b.Flush()
}

// printer prints until something fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// writeProxychains makes a proxychains.conf: each connection takes one of the
// list at random, and names are resolved by the proxy.
func writeProxychains(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	p := &printer{w: w}
	p.f("# proxychains4 -f FILE COMMAND\nrandom_chain\nchain_len = 1\nproxy_dns\nremote_dns_subnet 224\ntcp_read_time_out 15000\ntcp_connect_time_out 8000\n\n[ProxyList]\n")
	for e := range all {
		p.f("%s %s %d\n", e.Endpoint.Protocol, e.Endpoint.Host, e.Endpoint.Port)
	}
	return p.err
}

// pacShown is how many proxies a browser gets to try for one host.
const pacShown = 5

// writePAC makes a proxy auto-configuration file. Hosts are spread over the
// list; there is no DIRECT, so nothing leaves when all fail.
func writePAC(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	words := map[proxy.Protocol]string{proxy.HTTP: "PROXY", proxy.HTTPS: "HTTPS", proxy.SOCKS4: "SOCKS4", proxy.SOCKS5: "SOCKS5"}
	p := &printer{w: w}
	p.f("var proxies = [")
	sep := "\n"
	for e := range all {
		p.f("%s  %s", sep, quoted(words[e.Endpoint.Protocol]+" "+hostPort(e.Endpoint)))
		sep = ",\n"
	}
	p.f("\n];\n\nfunction FindProxyForURL(url, host) {\n")
	p.f("  if (proxies.length === 0) return \"PROXY 127.0.0.1:9\"; // nothing leaves\n")
	p.f("  var h = 0;\n  for (var i = 0; i < host.length; i++) h = (h * 31 + host.charCodeAt(i)) %% 1000003;\n")
	p.f("  var out = [];\n  for (var i = 0; i < Math.min(%d, proxies.length); i++) out.push(proxies[(h + i) %% proxies.length]);\n", pacShown)
	p.f("  return out.join(\"; \");\n}\n")
	return p.err
}

// quoted is a string literal that JSON, JavaScript and Python read alike.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

// title names a proxy within a file: unique, as the URL is.
func title(e proxy.Entry) string { return e.Endpoint.String() }

// clashProxy is an entry of `proxies` of Clash and mihomo.
type clashProxy struct {
	Name   string `yaml:"name"`
	Type   string `yaml:"type"`
	Server string `yaml:"server"`
	Port   uint16 `yaml:"port"`
	TLS    bool   `yaml:"tls,omitempty"`
}

// clashGroup is an entry of `proxy-groups`.
type clashGroup struct {
	Name     string   `yaml:"name"`
	Type     string   `yaml:"type"`
	Strategy string   `yaml:"strategy"`
	URL      string   `yaml:"url"`
	Interval int      `yaml:"interval"`
	Proxies  []string `yaml:"proxies"`
}

// writeClash makes a configuration for Clash and mihomo: everything goes
// through a group that takes turns.
func writeClash(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	var file struct {
		Proxies []clashProxy `yaml:"proxies"`
		Groups  []clashGroup `yaml:"proxy-groups"`
		Rules   []string     `yaml:"rules"`
	}
	file.Proxies = []clashProxy{}
	group := clashGroup{Name: "freeway", Type: "load-balance", Strategy: "round-robin", URL: "http://www.gstatic.com/generate_204", Interval: 300, Proxies: []string{}}
	for e := range all {
		c := clashProxy{Name: title(e), Type: e.Endpoint.Protocol.String(), Server: e.Endpoint.Host, Port: e.Endpoint.Port}
		if e.Endpoint.Protocol == proxy.HTTPS {
			c.Type, c.TLS = "http", true
		}
		file.Proxies = append(file.Proxies, c)
		group.Proxies = append(group.Proxies, c.Name)
	}
	if len(group.Proxies) == 0 {
		group.Proxies = []string{"REJECT"} // a group must not be empty, and nothing may leave directly
	}
	file.Groups, file.Rules = []clashGroup{group}, []string{"MATCH,freeway"}
	text, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// singBoxOutbound is an entry of `outbounds` of sing-box.
type singBoxOutbound struct {
	Type       string          `json:"type"`
	Tag        string          `json:"tag"`
	Server     string          `json:"server,omitempty"`
	ServerPort uint16          `json:"server_port,omitempty"`
	Version    string          `json:"version,omitempty"`
	TLS        map[string]bool `json:"tls,omitempty"`
	Outbounds  []string        `json:"outbounds,omitempty"`
}

// writeSingBox makes the outbounds and the route of a sing-box configuration.
func writeSingBox(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	test := singBoxOutbound{Type: "urltest", Tag: "freeway"}
	outs := []singBoxOutbound{}
	for e := range all {
		o := singBoxOutbound{Type: "http", Tag: title(e), Server: e.Endpoint.Host, ServerPort: e.Endpoint.Port}
		switch e.Endpoint.Protocol {
		case proxy.HTTPS:
			o.TLS = map[string]bool{"enabled": true}
		case proxy.SOCKS4:
			o.Type, o.Version = "socks", "4a"
		case proxy.SOCKS5:
			o.Type, o.Version = "socks", "5"
		}
		outs = append(outs, o)
		test.Outbounds = append(test.Outbounds, o.Tag)
	}
	if len(outs) == 0 {
		test = singBoxOutbound{Type: "block", Tag: "freeway"}
	}
	return writeIndented(w, map[string]any{"outbounds": append([]singBoxOutbound{test}, outs...), "route": map[string]string{"final": "freeway"}})
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// foxyProxy is an entry of a FoxyProxy 8 settings file.
type foxyProxy struct {
	Active   bool     `json:"active"`
	Title    string   `json:"title"`
	Type     string   `json:"type"`
	Hostname string   `json:"hostname"`
	Port     string   `json:"port"`
	Username string   `json:"username"`
	Password string   `json:"password"`
	CC       string   `json:"cc"`
	City     string   `json:"city"`
	Color    string   `json:"color"`
	PAC      string   `json:"pac"`
	PACText  string   `json:"pacString"`
	ProxyDNS bool     `json:"proxyDNS"`
	Include  []string `json:"include"`
	Exclude  []string `json:"exclude"`
	TabProxy []string `json:"tabProxy"`
}

// writeFoxyProxy makes a settings file of FoxyProxy, to be imported.
func writeFoxyProxy(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	data := []foxyProxy{}
	for e := range all {
		data = append(data, foxyProxy{Active: true, Title: title(e), Type: e.Endpoint.Protocol.String(), Hostname: e.Endpoint.Host,
			Port: strconv.Itoa(int(e.Endpoint.Port)), CC: e.Traits.Country, Color: "#1f5fbf", ProxyDNS: e.Endpoint.Protocol == proxy.SOCKS5,
			Include: []string{}, Exclude: []string{}, TabProxy: []string{}})
	}
	return writeIndented(w, map[string]any{"mode": "disable", "sync": false, "autoBackup": false, "passthrough": "", "theme": "", "container": map[string]any{}, "commands": map[string]any{}, "data": data})
}

// haproxyPorts are where the listeners of the file are, by protocol.
var haproxyPorts = map[proxy.Protocol]int{proxy.HTTP: 3128, proxy.SOCKS4: 1084, proxy.SOCKS5: 1080}

// writeHAProxy makes a configuration of HAProxy with a listener on loopback
// for each protocol: connections go to the servers in turn.
func writeHAProxy(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	by := map[proxy.Protocol][]proxy.Endpoint{}
	for e := range all {
		by[e.Endpoint.Protocol] = append(by[e.Endpoint.Protocol], e.Endpoint)
	}
	p := &printer{w: w}
	p.f("# haproxy -f FILE\nglobal\n    maxconn 4000\n\ndefaults\n    mode tcp\n    timeout connect 8s\n    timeout client 5m\n    timeout server 5m\n    retries 2\n    option redispatch\n")
	for _, proto := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5, proxy.SOCKS4} {
		if len(by[proto]) == 0 && (proto != proxy.HTTP || len(by) > 0) { // without a listener it would not start
			continue
		}
		p.f("\nlisten %s\n    bind 127.0.0.1:%d\n    balance roundrobin\n", proto, haproxyPorts[proto])
		for i, ep := range by[proto] {
			p.f("    server %s%d %s check inter 60s\n", proto, i+1, net.JoinHostPort(ep.Host, strconv.Itoa(int(ep.Port))))
		}
	}
	return p.err
}

// writeSquid makes a configuration of Squid that sends everything to the
// proxies in turn and nothing directly.
func writeSquid(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	p := &printer{w: w}
	p.f("# squid -N -f FILE\nhttp_port 127.0.0.1:3128\nhttp_access allow localhost\nhttp_access deny all\nnever_direct allow all\nnonhierarchical_direct off\ncache deny all\nvia off\nforwarded_for delete\n")
	n := 0
	for e := range all {
		n++
		p.f("cache_peer %s parent %d 0 no-query no-digest round-robin connect-timeout=8 connect-fail-limit=2 name=p%d\n", squidHost(e.Endpoint), e.Endpoint.Port, n)
	}
	return p.err
}

// squidHost writes IPv6 addresses in brackets, as Squid wants them.
func squidHost(ep proxy.Endpoint) string {
	if strings.Contains(ep.Host, ":") {
		return "[" + ep.Host + "]"
	}
	return ep.Host
}

// writeScrapy makes a settings line for scrapy-rotating-proxies.
func writeScrapy(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	p := &printer{w: w}
	p.f("ROTATING_PROXY_LIST = [\n")
	for e := range all {
		p.f("    %s,\n", quoted(e.Endpoint.String()))
	}
	p.f("]\n")
	return p.err
}
