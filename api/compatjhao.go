package api

import (
	"net/http"
	"strings"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// jhaoProxy is a proxy as jhao104/proxy_pool shows it.
type jhaoProxy struct {
	Proxy      string `json:"proxy"`
	HTTPS      bool   `json:"https"`
	FailCount  uint32 `json:"fail_count"`
	Region     string `json:"region"`
	Anonymous  string `json:"anonymous"`
	Source     string `json:"source"`
	CheckCount uint32 `json:"check_count"`
	LastStatus bool   `json:"last_status"`
	LastTime   string `json:"last_time"`
}

// jhaoView shows an entry. Times are local, as there.
func jhaoView(e proxy.Entry) jhaoProxy {
	out := jhaoProxy{Proxy: hostPort(e.Endpoint), HTTPS: e.Traits.Tunnel == proxy.Yes, FailCount: e.Checks.Failed, Region: e.Traits.Country,
		Anonymous: e.Traits.Anonymity.String(), Source: strings.Join(e.Sources, "/"), CheckCount: e.Checks.OK + e.Checks.Failed, LastStatus: e.State == proxy.Live}
	if !e.LastChecked.IsZero() {
		out.LastTime = e.LastChecked.Local().Format(time.DateTime)
	}
	return out
}

// jhaoCode is how that API says what became of a call.
type jhaoCode struct {
	Code int `json:"code"`
	Src  any `json:"src"`
}

// jhaoHelp is one line of the page at /.
type jhaoHelp struct {
	URL    string `json:"url"`
	Params string `json:"params"`
	Desc   string `json:"desc"`
}

// jhaoHome is the page at /.
type jhaoHome struct {
	URL []jhaoHelp `json:"url"`
}

// jhaoCount is what /count/ answers.
type jhaoCount struct {
	HTTPType map[string]int `json:"http_type"`
	Source   map[string]int `json:"source"`
	Count    int            `json:"count"`
}

// jhao104 speaks the API of jhao104/proxy_pool.
func (d *door) jhao104() http.Handler {
	mux := http.NewServeMux()
	d.get(mux, "/", func(w http.ResponseWriter, _ *http.Request) {
		writeFlask(w, http.StatusOK, jhaoHome{[]jhaoHelp{
			{"/get", "type: ''https'|''", "get a proxy"},
			{"/pop", "type: ''https'|''", "get a proxy and take it out of rotation"},
			{"/delete", "proxy: 'e.g. 127.0.0.1:8080'", "report a proxy that failed"},
			{"/all", "type: ''https'|''", "get all proxies"},
			{"/count", "", "count proxies"},
		}})
	})
	d.get(mux, "/get/", func(w http.ResponseWriter, r *http.Request) { d.jhaoGet(w, r, false) })
	d.get(mux, "/pop/", func(w http.ResponseWriter, r *http.Request) { d.jhaoGet(w, r, true) })
	d.get(mux, "/all/", d.jhaoAll)
	d.get(mux, "/count/", d.jhaoCount)
	d.get(mux, "/delete/", d.jhaoDelete)
	d.get(mux, "/refresh/", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "success") })
	return mux
}

// jhaoType reads ?type=.
func jhaoType(r *http.Request) proxy.Filter {
	return wanted(strings.EqualFold(r.URL.Query().Get("type"), "https"))
}

func (d *door) jhaoGet(w http.ResponseWriter, r *http.Request, pop bool) {
	drawn, err := d.draw(r.Context(), jhaoType(r), 1)
	if err != nil {
		writeFlask(w, http.StatusOK, jhaoCode{0, "no proxy"})
		return
	}
	if pop {
		d.popped.add(drawn[0].Endpoint, time.Now())
	}
	writeFlask(w, http.StatusOK, jhaoView(drawn[0]))
}

func (d *door) jhaoAll(w http.ResponseWriter, r *http.Request) {
	entries := d.all(jhaoType(r))
	out := make([]jhaoProxy, len(entries))
	for i, e := range entries {
		out[i] = jhaoView(e)
	}
	writeFlask(w, http.StatusOK, out)
}

func (d *door) jhaoCount(w http.ResponseWriter, _ *http.Request) {
	entries := d.all(wanted(false))
	out := jhaoCount{HTTPType: map[string]int{}, Source: map[string]int{}, Count: len(entries)}
	for _, e := range entries {
		kind := "http"
		if e.Traits.Tunnel == proxy.Yes {
			kind = "https"
		}
		out.HTTPType[kind]++
		for _, s := range e.Sources {
			out.Source[s]++
		}
	}
	writeFlask(w, http.StatusOK, out)
}

// jhaoDelete is a vote that the proxy failed: one crawler's bad luck must not
// take a proxy away from all.
func (d *door) jhaoDelete(w http.ResponseWriter, r *http.Request) {
	n, err := d.api.env.Pool.Feedback(pool.Feedback{Proxy: "http://" + r.URL.Query().Get("proxy"), Verdict: "failed"})
	if err != nil {
		n = 0
	}
	writeFlask(w, http.StatusOK, jhaoCode{0, min(n, 1)})
}
