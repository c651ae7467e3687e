package api

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"freeway/proxy"
)

// webSpider speaks the API of Python3WebSpider/ProxyPool: text, one host:port
// a line.
func (d *door) webSpider() http.Handler {
	mux := http.NewServeMux()
	d.get(mux, "/", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "<h2>Welcome to Proxy Pool System</h2>")
	})
	d.get(mux, "/random/", d.spiderRandom)
	d.get(mux, "/all/", d.spiderAll)
	d.get(mux, "/count/", func(w http.ResponseWriter, r *http.Request) {
		if entries, ok := d.spiderList(w, r); ok {
			writeText(w, http.StatusOK, strconv.Itoa(len(entries)))
		}
	})
	return d.keyed(mux)
}

// keyed asks for the header API-KEY when a key is configured.
func (d *door) keyed(next http.Handler) http.Handler {
	if d.key == "" {
		return next
	}
	want := sha256.Sum256([]byte(d.key))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		type message struct {
			Message string `json:"message"`
		}
		given := r.Header.Get("API-KEY")
		got := sha256.Sum256([]byte(given))
		switch {
		case given == "":
			writeFlask(w, http.StatusBadRequest, message{"Please provide an API key in header"})
		case subtle.ConstantTimeCompare(got[:], want[:]) != 1:
			writeFlask(w, http.StatusForbidden, message{"The provided API key is not valid"})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// spiderFilter reads ?key= (of which only the last word says something: https)
// and ?area=, a country.
func spiderFilter(r *http.Request) (proxy.Filter, error) {
	f := wanted(strings.HasSuffix(strings.ToLower(r.URL.Query().Get("key")), "https"))
	if area := r.URL.Query().Get("area"); area != "" {
		return f, f.Set("country", area)
	}
	return f, nil
}

func (d *door) spiderList(w http.ResponseWriter, r *http.Request) ([]proxy.Entry, bool) {
	f, err := spiderFilter(r)
	if err != nil {
		writeText(w, http.StatusBadRequest, "area: use a country of two letters")
		return nil, false
	}
	return d.all(f), true
}

func (d *door) spiderAll(w http.ResponseWriter, r *http.Request) {
	if entries, ok := d.spiderList(w, r); ok {
		writeText(w, http.StatusOK, lines(entries))
	}
}

// lines are the proxies as host:port, each with a line end.
func lines(entries []proxy.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(hostPort(e.Endpoint))
		b.WriteByte('\n')
	}
	return b.String()
}

func (d *door) spiderRandom(w http.ResponseWriter, r *http.Request) {
	f, err := spiderFilter(r)
	n, nerr := strconv.Atoi(cmp.Or(r.URL.Query().Get("count"), "1"))
	if err != nil || nerr != nil || n < 1 || n > 1000 {
		writeText(w, http.StatusBadRequest, "count: 1 to 1000; area: a country of two letters")
		return
	}
	drawn, err := d.draw(r.Context(), f, n)
	if err != nil { // as the original does
		writeText(w, http.StatusInternalServerError, "<!doctype html>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>\n<p>There is no proxy.</p>\n")
		return
	}
	writeText(w, http.StatusOK, strings.TrimSuffix(lines(drawn), "\n"))
}

// scyllaProxy is a proxy as scylla shows it. What Freeway does not know (city,
// region, coordinates) is empty.
type scyllaProxy struct {
	ID            uint32  `json:"id"`
	IP            string  `json:"ip"`
	Port          uint16  `json:"port"`
	IsValid       bool    `json:"is_valid"`
	CreatedAt     int64   `json:"created_at"` // Unix seconds
	UpdatedAt     int64   `json:"updated_at"` // Unix seconds
	Latency       float64 `json:"latency"`    // milliseconds
	Stability     float64 `json:"stability"`  // 0 to 1
	IsAnonymous   bool    `json:"is_anonymous"`
	IsHTTPS       bool    `json:"is_https"`
	Attempts      uint32  `json:"attempts"`
	HTTPSAttempts uint32  `json:"https_attempts"`
	Location      string  `json:"location"`
	Organization  string  `json:"organization"`
	Region        string  `json:"region"`
	Country       string  `json:"country"`
	City          string  `json:"city"`
}

func scyllaView(e proxy.Entry) scyllaProxy {
	out := scyllaProxy{ID: number(e.Endpoint), IP: e.Endpoint.Host, Port: e.Endpoint.Port, IsValid: true, CreatedAt: unix(e.FirstSeen), UpdatedAt: unix(e.LastChecked),
		Latency: millis(e.Latency), Stability: round3(e.Score), IsAnonymous: e.Traits.Anonymity >= proxy.Anonymous, IsHTTPS: e.Traits.Tunnel == proxy.Yes,
		Attempts: e.Checks.OK + e.Checks.Failed, Organization: e.Traits.Org, Country: e.Traits.Country}
	if out.IsHTTPS {
		out.HTTPSAttempts = out.Attempts
	}
	if e.Traits.ASN != 0 {
		out.Organization = strings.TrimSpace(fmt.Sprintf("AS%d %s", e.Traits.ASN, e.Traits.Org))
	}
	return out
}

// number is a stable number in place of a row number: the first 31 bits of a hash.
func number(ep proxy.Endpoint) uint32 {
	sum := sha256.Sum256([]byte(ep.ID()))
	return binary.BigEndian.Uint32(sum[:]) >> 1
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// scyllaPage is what /api/v1/proxies answers.
type scyllaPage struct {
	Proxies   []scyllaProxy `json:"proxies"`
	Count     int           `json:"count"`
	PerPage   int           `json:"per_page"`
	Page      int           `json:"page"`
	TotalPage int           `json:"total_page"`
}

// scyllaStats is what /api/v1/stats answers; latencies in milliseconds.
type scyllaStats struct {
	Median     float64 `json:"median"`
	ValidCount int     `json:"valid_count"`
	TotalCount int     `json:"total_count"`
	Mean       float64 `json:"mean"`
}

// scylla speaks the API of scylla.
func (d *door) scylla() http.Handler {
	mux := http.NewServeMux()
	d.get(mux, "/api/v1/proxies/", d.scyllaProxies)
	d.get(mux, "/api/v1/stats/", d.scyllaStats)
	return mux
}

// scyllaWanted reads the filters. Values that mean nothing mean "any", as there.
func scyllaWanted(r *http.Request) (proxy.Filter, func(proxy.Entry) bool) {
	q := r.URL.Query()
	f := wanted(false)
	f.Tunnel = map[string]proxy.Tri{"true": proxy.Yes, "false": proxy.No}[q.Get("https")]
	if countries := q.Get("countries"); countries != "" && f.Set("country", countries) != nil {
		return f, func(proxy.Entry) bool { return false }
	}
	switch q.Get("anonymous") {
	case "true":
		return f, func(e proxy.Entry) bool { return e.Traits.Anonymity >= proxy.Anonymous }
	case "false":
		return f, func(e proxy.Entry) bool { return e.Traits.Anonymity < proxy.Anonymous }
	}
	return f, func(proxy.Entry) bool { return true }
}

func (d *door) scyllaProxies(w http.ResponseWriter, r *http.Request) {
	f, keep := scyllaWanted(r)
	entries := d.all(f)
	entries = slices.DeleteFunc(entries, func(e proxy.Entry) bool { return !keep(e) })
	limit, page := positive(r, "limit", 20), positive(r, "page", 1)
	out := scyllaPage{Proxies: []scyllaProxy{}, Count: len(entries), PerPage: limit, Page: page, TotalPage: (len(entries) + limit - 1) / limit}
	if page <= out.TotalPage {
		from := (page - 1) * limit
		for _, e := range entries[from:min(from+limit, len(entries))] {
			out.Proxies = append(out.Proxies, scyllaView(e))
		}
	}
	writeBare(w, out)
}

// positive reads a number of 1 to 100,000; anything else is the default.
func positive(r *http.Request, name string, preset int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < 1 || n > 100_000 {
		return preset
	}
	return n
}

func (d *door) scyllaStats(w http.ResponseWriter, _ *http.Request) {
	entries := d.all(wanted(false))
	out := scyllaStats{ValidCount: len(entries), TotalCount: d.api.env.Pool.Stats().Total}
	var all []float64
	for _, e := range entries {
		if e.Latency > 0 {
			all = append(all, millis(e.Latency))
			out.Mean += millis(e.Latency)
		}
	}
	if n := len(all); n > 0 {
		slices.Sort(all)
		out.Median = (all[n/2] + all[(n-1)/2]) / 2
		out.Mean = math.Round(out.Mean/float64(n)*10) / 10
	}
	writeBare(w, out)
}

// hensonProxy is a proxy as henson/proxypool shows it.
type hensonProxy struct {
	IP     string `json:"ip"`
	Type1  string `json:"type1"`
	Type2  string `json:"type2,omitempty"`
	Speed  int64  `json:"speed,omitempty"` // milliseconds
	Source string `json:"source,omitempty"`
}

// henson speaks the API of henson/proxypool.
func (d *door) henson() http.Handler {
	mux := http.NewServeMux()
	d.get(mux, "/v2/ip/", func(w http.ResponseWriter, r *http.Request) { d.hensonDraw(w, r, false) })
	d.get(mux, "/v2/https/", func(w http.ResponseWriter, r *http.Request) { d.hensonDraw(w, r, true) })
	return mux
}

func (d *door) hensonDraw(w http.ResponseWriter, r *http.Request, https bool) {
	drawn, err := d.draw(r.Context(), wanted(https), 1)
	if err != nil { // its empty record
		writeBare(w, hensonProxy{Speed: 100})
		return
	}
	e := drawn[0]
	out := hensonProxy{IP: hostPort(e.Endpoint), Type1: "http", Speed: e.Latency.Milliseconds(), Source: strings.Join(e.Sources, ",")}
	if e.Traits.Tunnel == proxy.Yes {
		out.Type2 = "https"
	}
	writeBare(w, out)
}

// writeBare answers with JSON and nothing behind it.
func writeBare(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body) //nolint:errcheck // the client went away
}
