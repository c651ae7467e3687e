package config

import (
	"maps"
	"slices"
	"strings"
)

// descriptions has a line for every section and every key: what it means, its
// unit, and what is special. Help texts and the file of "config init" are made
// of it; a test demands that it is complete.
const descriptions = `
store                            What is known is kept in one file; a second process cannot open it.
store.path                       bbolt file; relative to the working directory
store.backup_every               how old the latest snapshot may get, from which a broken file is restored: 1m to 720h
store.backup_keep                snapshots that are kept beside the file, path.bak, path.bak.1 and so on: 1 to 50

gateway                          The proxy that clients use.
gateway.listen                   HTTP proxy, CONNECT, SOCKS4, 4a and 5, told apart by the first byte
gateway.listeners                more ports with fixed choices, for example [{listen: "127.0.0.1:8082", options: country-us}]
gateway.tls                      The same inside TLS. The files are read again when they change.
gateway.tls.listen               empty: no TLS listener
gateway.tls.cert                 PEM file, leaf first; for names that no other certificate has
gateway.tls.key                  PEM file
gateway.tls.certificates         more, chosen by the name that a client asks for, for example [{name: shop, cert: shop.crt, key: shop.key}]
gateway.tls.acme                 Certificates that are fetched from an authority (ACME) and renewed; TLS-ALPN-01, so port 443 of each name must lead here.
gateway.tls.acme.hosts           names to have certificates for; no others are ever asked for; empty: off
gateway.tls.acme.cache           folder for keys and certificates, made with mode 0700; relative to the working directory
gateway.tls.acme.directory       the authority's https address; empty: Let's Encrypt
gateway.tls.acme.ca              PEM file of authorities to trust for that address; empty: the system's
gateway.tls.acme.email           where the authority writes to; empty: nowhere
gateway.tls.acme.accept_terms    true: the terms of the authority are accepted
gateway.users                    for example [{name: bob, password_file: /run/secrets/bob, require: country-us, rate: 5, bandwidth: 1MiB, daily_bytes: 1GiB}]
gateway.allow_clients            ranges whose clients need no user, for example [10.0.0.0/8]
gateway.rotation                 adaptive, round-robin, random, least-used or fastest
gateway.pools                    labels of sources, in this order: the next is used when the one before has nothing eligible; of the tries of a request the last are for the later ones, one each
gateway.retry                    Failover to other upstreams, only while it is safe.
gateway.retry.attempts           upstreams tried for one request, the first included
gateway.retry.methods            methods that may be sent again once bytes went out
gateway.retry.on_status          answers of the target after which one more exit is tried
gateway.retry.body_buffer        largest request body that is kept for a second attempt
gateway.per_client               Limits of every user, or address where nobody logs in, that has none of its own.
gateway.per_client.rate          requests a second; 0: no limit
gateway.per_client.burst         requests that may come at once; 0: one second's worth
gateway.per_client.concurrency   requests and tunnels at a time; 0: no limit
gateway.per_client.bandwidth     bytes a second, both ways together, shared fairly by what runs; 0: no limit
gateway.hedge                    A second tunnel set-up, on another exit, beside a slow one.
gateway.hedge.enabled            true or false
gateway.hedge.min_delay          never sooner than this
gateway.hedge.budget             hedges per request, over the last minute
gateway.hedge.metered            pools whose uses cost money: never hedged, rarely checked
gateway.timeouts                 Deadlines of one request.
gateway.timeouts.connect         TCP to the upstream
gateway.timeouts.handshake       CONNECT or SOCKS until the tunnel is up
gateway.timeouts.first_byte      from the request to the first byte of the answer
gateway.timeouts.total           over all attempts, until the answer begins
gateway.timeouts.idle            silence in a tunnel, in an answer's body (a minute at most if its length is known) or between requests, after which it is cut
gateway.timeouts.warmup          how long a request may wait after the start for the first upstream
gateway.session                  Sessions hold one exit address.
gateway.session.ttl              where the client names none
gateway.tunnel                   Tunnels.
gateway.tunnel.max_age           cut after this time; 0s: never
gateway.ban                      What means "this exit is banned by this target".
gateway.ban.status               of plain HTTP answers
gateway.ban.body                 regular expressions, any case, looked for in the first 32 KiB of text answers in plain HTTP
gateway.targets                  rules for a domain and what is below it, for example [{domain: example.com, rate: 2, concurrency: 4, min_interval: 10s}]
gateway.deny_ports               ports that are never tunnelled to: mail, because of spam
gateway.plain_http               allow, or refuse: nothing unencrypted goes through public upstreams
gateway.plaintext_credentials    refuse, or allow an Authorization header in plain HTTP through a public upstream
gateway.expose_upstream          add Freeway-Upstream, -Exit, -Country and -Attempts to answers
gateway.max_connections          0: as the file limit allows
gateway.drain                    how long running requests may take at the end before they are cut
gateway.drain_delay              how long all goes on at the end after /readyz has turned to 503; 0: 1s where others reach the admin API, else not at all

admin                            The API under /api, the dashboard, /metrics, /livez and /readyz.
admin.listen                     on an address that is not loopback a token is needed
admin.token                      bearer token; better use token_file
admin.token_file                 a file that holds the token; read again when the configuration is
admin.tokens                     more tokens with a role (viewer, operator, admin); see freeway config token
admin.pprof                      serve /debug/pprof
admin.ready                      When /readyz says that traffic may come.
admin.ready.upstreams            as many must be usable; 0: none
admin.ready.warm_up              that long after the start their number matters no more; 0: it always does
admin.alertmanager               What alerts may bring about, for a limited time, through POST /api/hooks/alertmanager.
admin.alertmanager.token         what Alertmanager sends as a bearer token; it opens the webhook and nothing else; better use token_file
admin.alertmanager.token_file    a file that holds it, or its hash
admin.alertmanager.actions       empty: the webhook is off. For example [{alert: FreewaySourceDead, action: rest-source, for: 2h}, {alert: FreewayHealthyLow, action: check-faster, factor: 3, for: 30m}]
admin.hosts                      names under which browsers reach the listener, besides addresses and localhost
admin.tls                        HTTPS instead of HTTP. The files are read again when they change.
admin.tls.cert                   PEM file, leaf first; empty: plain HTTP
admin.tls.key                    PEM file
admin.tls.certificates           more, chosen by the name that a client asks for, for example [{cert: b.crt, key: b.key}]
admin.tls.client_ca              PEM file of authorities for certificates of clients; empty: none is asked for
admin.tls.clients                roles by a name in the client's certificate, for example [{san: "spiffe://ops/alice", role: operator}]

scraper                          How lists are read.
scraper.schedule                 five cron fields or @every 30m, for sources without a schedule of their own
scraper.concurrency              lists read at the same time
scraper.timeout                  for one request with redirects and body
scraper.max_bytes                of one decoded list; more is an error of that source

sources                          Which lists are read.
sources.builtin                  true, false, or a list of names; see freeway sources
sources.list                     your own, for example [{name: mine, url: "https://example.com/list.txt", protocols: [socks5], schedule: "@every 10m"}]
sources.dir                      a folder of list files, each a source named after its file

checker                          How entries are tested.
checker.concurrency              addresses tested at the same time; 0: as the file limit allows, at most 1000
checker.rate                     connections a second; 0: no limit
checker.connect_timeout          TCP to the proxy
checker.timeout                  for one step: the proxy's answer, the judge's; all steps of one protocol together may take three times as long
checker.fixed_timeouts           true: wait for every candidate as long as the two above say; else less, once it is known what live proxies need
checker.per_network              connects to one public /24 (IPv6: /48) under way at the same time, 1 to 10000
checker.judges                   empty: public ones. Yours, for example [{url: "https://judge.example.com/", key: "file:/run/secrets/judge"}]
checker.judge_ca                 PEM file of authorities to trust for judges, targets and proxies behind TLS, besides the system's
checker.own_ips                  your public addresses; empty: found out with the judges
checker.targets                  further pages to reach, for example [{name: shop, url: "https://shop.example.com/", required: true}]
checker.recheck                  how often a working proxy is tested again

filter                           Which proxies are used at all.
filter.countries                 of the exit, for example [de, nl]; empty: any
filter.deny_countries            never these
filter.deny_asns                 autonomous systems of exits, for example [64496]
filter.deny_cidrs                ranges of exits

network                          Ranges that are not public and may be used all the same, for example [127.0.0.0/8].
network.allow_upstreams          where proxies from lists may sit
network.allow_targets            which addresses clients may ask for

geo                              Country and network of exits.
geo.database                     an .mmdb file (GeoLite2, DB-IP Lite, IPinfo Lite) or a compact table; empty: what "freeway geo update" fetched, else the built-in table

log                              The log. Nobody waits for it: what a slow disk or reader does not take is counted.
log.level                        debug, info, warn or error
log.format                       text or json
log.file                         a file, opened anew on SIGHUP; relative to the working directory; empty: stderr
log.max_size                     of the file before it becomes FILE.1; 0: never
log.max_files                    how many of FILE.1, FILE.2, ... are kept
log.sample                       Records of one level and message that come again and again; how many were left out is logged.
log.sample.first                 so many of each pass in the time of every; 0: all
log.sample.nth                   and behind them one in so many; 0: none
log.sample.every                 from 1s to 1h

audit                            A record of every request, for the operator.
audit.path                       gets one JSON line per request, hosts without paths; opened anew on SIGHUP; empty: none

tracing                          Spans of requests, runs of sources and checks, for an OpenTelemetry collector.
tracing.endpoint                 OTLP over HTTP, for example http://127.0.0.1:4318; without a path /v1/traces is added; empty: nothing is traced
tracing.sample_ratio             share that is traced, 0 to 1
tracing.headers_file             lines of "Name: value" that are sent to the collector, for example a token

compat                           Listeners that speak the APIs of other proxy pools; the same is below /compat/NAME/ of the admin API.
compat.jhao104                   jhao104/proxy_pool, usually on 127.0.0.1:5010; empty: none
compat.python3webspider          Python3WebSpider/ProxyPool, usually on 127.0.0.1:5555; empty: none
compat.scylla                    scylla, usually on 127.0.0.1:8899; empty: none
compat.henson                    henson/proxypool, usually on 127.0.0.1:3000; empty: none
compat.api_key                   what python3webspider asks for in the header API-KEY; empty: nothing
compat.allow_clients             ranges that are served besides loopback; needed to listen elsewhere
`

// Describe returns the one-line description of a key or section, "" when there is none.
func Describe(path string) string { return descriptionTable()[path] }

// descriptionTable reads descriptions.
func descriptionTable() map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(descriptions, "\n") {
		if path, text, ok := strings.Cut(line, " "); ok {
			m[path] = strings.TrimSpace(text)
		}
	}
	return m
}

// Described returns every path that has a description, sections included.
func Described() []string { return slices.Sorted(maps.Keys(descriptionTable())) }
