package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/api"
	"freeway/internal/access"
	"freeway/proxy"
)

// stocked is an API over one live proxy and one that was never checked.
func stocked(t *testing.T, change func(*api.Config, *api.Env)) *world {
	t.Helper()
	w := open(t, change)
	w.do("POST", "/api/proxies?pool=public", "http://9.9.9.9:8080", "Content-Type", "text/plain")
	w.check(1, proxy.OK, "9.9.9.1", 120*time.Millisecond)
	return w
}

// Status, content type and body of every door when nothing is live.
func TestCompatEmpty(t *testing.T) {
	t.Parallel()
	const flask, html = "application/json", "text/html; charset=utf-8"
	w := open(t, nil)
	for _, tt := range []struct {
		path   string
		status int
		kind   string
		body   string
	}{
		{"/compat/jhao104/", 200, flask, `{"url":[{"url":"/get","params":"type: ''https'|''","desc":"get a proxy"},` +
			`{"url":"/pop","params":"type: ''https'|''","desc":"get a proxy and take it out of rotation"},` +
			`{"url":"/delete","params":"proxy: 'e.g. 127.0.0.1:8080'","desc":"report a proxy that failed"},` +
			`{"url":"/all","params":"type: ''https'|''","desc":"get all proxies"},{"url":"/count","params":"","desc":"count proxies"}]}` + "\n"},
		{"/compat/jhao104/get/", 200, flask, `{"code":0,"src":"no proxy"}` + "\n"},
		{"/compat/jhao104/get", 200, flask, `{"code":0,"src":"no proxy"}` + "\n"},
		{"/compat/jhao104/pop/", 200, flask, `{"code":0,"src":"no proxy"}` + "\n"},
		{"/compat/jhao104/all/", 200, flask, "[]\n"},
		{"/compat/jhao104/count/", 200, flask, `{"http_type":{},"source":{},"count":0}` + "\n"},
		{"/compat/jhao104/delete/?proxy=9.9.9.9:80", 200, flask, `{"code":0,"src":0}` + "\n"},
		{"/compat/jhao104/delete/?proxy=nonsense", 200, flask, `{"code":0,"src":0}` + "\n"},
		{"/compat/jhao104/refresh/", 200, html, "success"},
		{"/compat/python3webspider/", 200, html, "<h2>Welcome to Proxy Pool System</h2>"},
		{"/compat/python3webspider/all", 200, html, ""},
		{"/compat/python3webspider/count", 200, html, "0"},
		{"/compat/scylla/api/v1/proxies", 200, flask, `{"proxies":[],"count":0,"per_page":20,"page":1,"total_page":0}`},
		{"/compat/scylla/api/v1/stats", 200, flask, `{"median":0,"valid_count":0,"total_count":0,"mean":0}`},
		{"/compat/henson/v2/ip", 200, flask, `{"ip":"","type1":"","speed":100}`},
		{"/compat/henson/v2/https", 200, flask, `{"ip":"","type1":"","speed":100}`},
	} {
		status, header, body := w.do("GET", tt.path, "")
		if status != tt.status || header.Get("Content-Type") != tt.kind || body != tt.body {
			t.Errorf("GET %s = %d %s %q, want %d %s %q", tt.path, status, header.Get("Content-Type"), body, tt.status, tt.kind, tt.body)
		}
	}
	if status, _, _ := w.do("GET", "/compat/python3webspider/random", ""); status != http.StatusInternalServerError {
		t.Errorf("random of an empty pool = %d, want 500", status)
	}
	for _, path := range []string{"/compat/nobody/get", "/compat/jhao104/nothing", "/compat/henson/v2"} {
		if status, _, _ := w.do("GET", path, ""); status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, status)
		}
	}
}

// The same with a proxy in it.
func TestCompatOfOneProxy(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	at := w.page("").Items[0]
	local := at.LastChecked.Local().Format(time.DateTime)
	first, last := at.FirstSeen.Unix(), at.LastChecked.Unix()
	jhao := map[string]any{"proxy": "9.9.9.9:8080", "https": true, "fail_count": 0.0, "region": "", "anonymous": "elite", "source": "api",
		"check_count": 1.0, "last_status": true, "last_time": local}
	scylla := map[string]any{"id": nil, "ip": "9.9.9.9", "port": 8080.0, "is_valid": true, "created_at": float64(first), "updated_at": float64(last),
		"latency": 120.0, "stability": at.Score, "is_anonymous": true, "is_https": true, "attempts": 1.0, "https_attempts": 1.0, "location": "",
		"organization": "", "region": "", "country": "", "city": ""}
	for _, tt := range []struct {
		path string
		want any
	}{
		{"/compat/jhao104/get/?type=https", jhao},
		{"/compat/jhao104/all/", []any{jhao}},
		{"/compat/jhao104/count/", map[string]any{"http_type": map[string]any{"https": 1.0}, "source": map[string]any{"api": 1.0}, "count": 1.0}},
		{"/compat/scylla/api/v1/proxies?https=true&anonymous=true&limit=1&page=1", map[string]any{"proxies": []any{scylla}, "count": 1.0, "per_page": 1.0, "page": 1.0, "total_page": 1.0}},
		{"/compat/scylla/api/v1/proxies?https=false", map[string]any{"proxies": []any{}, "count": 0.0, "per_page": 20.0, "page": 1.0, "total_page": 0.0}},
		{"/compat/scylla/api/v1/stats", map[string]any{"median": 120.0, "valid_count": 1.0, "total_count": 1.0, "mean": 120.0}},
		{"/compat/henson/v2/https", map[string]any{"ip": "9.9.9.9:8080", "type1": "http", "type2": "https", "speed": 120.0, "source": "api"}},
	} {
		_, _, body := w.do("GET", tt.path, "")
		var got any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("GET %s = %q: %v", tt.path, body, err)
		}
		if m, ok := got.(map[string]any); ok {
			if list, ok := m["proxies"].([]any); ok && len(list) == 1 {
				list[0].(map[string]any)["id"] = nil // a hash
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", tt.path, diff)
		}
	}
	for path, want := range map[string]string{"/compat/python3webspider/random": "9.9.9.9:8080", "/compat/python3webspider/random?count=3": "9.9.9.9:8080",
		"/compat/python3webspider/all": "9.9.9.9:8080\n", "/compat/python3webspider/count": "1"} {
		if _, _, body := w.do("GET", path, ""); body != want {
			t.Errorf("GET %s = %q, want %q", path, body, want)
		}
	}
}

// A popped proxy is not handed out again for a while; a deleted one has a vote
// against it and stays known.
func TestCompatPopAndDelete(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	if _, _, body := w.do("GET", "/compat/jhao104/delete/?proxy=9.9.9.9:8080", ""); body != `{"code":0,"src":1}`+"\n" {
		t.Errorf("delete = %q, want src 1", body)
	}
	p := w.page("").Items[0]
	if p.Uses.Failed != 1 && p.Checks.Failed != 1 {
		t.Errorf("after delete %+v, want one failure", p)
	}
	if _, _, body := w.do("GET", "/compat/jhao104/pop/", ""); !strings.Contains(body, "9.9.9.9:8080") {
		t.Errorf("pop = %q, want the proxy", body)
	}
	for _, path := range []string{"/compat/jhao104/pop/", "/compat/jhao104/get/"} {
		if _, _, body := w.do("GET", path, ""); !strings.Contains(body, "no proxy") {
			t.Errorf("GET %s after pop = %q, want none", path, body)
		}
	}
	if _, _, body := w.do("GET", "/compat/jhao104/count/", ""); !strings.Contains(body, `"count":0`) {
		t.Errorf("count after pop = %q, want 0", body)
	}
}

func TestCompatKey(t *testing.T) {
	t.Parallel()
	w := stocked(t, func(_ *api.Config, e *api.Env) { e.Compat.APIKey = proxy.NewSecret("k1") })
	for _, tt := range []struct {
		key    []string
		status int
		body   string
	}{
		{nil, 400, `{"message":"Please provide an API key in header"}` + "\n"},
		{[]string{"API-KEY", "k2"}, 403, `{"message":"The provided API key is not valid"}` + "\n"},
		{[]string{"API-KEY", "k1"}, 200, "1"},
	} {
		if status, _, body := w.do("GET", "/compat/python3webspider/count", "", tt.key...); status != tt.status || body != tt.body {
			t.Errorf("key %v = %d %q, want %d %q", tt.key, status, body, tt.status, tt.body)
		}
	}
}

// A listener of its own serves allowed clients only, and no page of another site.
func TestCompatDoor(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	a, err := api.Open(api.Config{}, nil, api.Env{Pool: w.pool})
	if err != nil {
		t.Fatal(err)
	}
	if a.Door("nobody", api.Compat{}) != nil {
		t.Error("Door(nobody) is there")
	}
	h := a.Door("jhao104", api.Compat{AllowClients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, tt := range []struct {
		name, remote, host, site string
		want                     int
	}{
		{"loopback", "127.0.0.1:5", "127.0.0.1:5010", "", 200},
		{"allowed", "10.1.2.3:5", "10.0.0.1:5010", "", 200},
		{"mapped", "[::ffff:10.1.2.3]:5", "10.0.0.1:5010", "", 200},
		{"stranger", "11.0.0.1:5", "10.0.0.1:5010", "", 403},
		{"rebound name", "127.0.0.1:5", "evil.example:5010", "", 403},
		{"page of another site", "127.0.0.1:5", "127.0.0.1:5010", "cross-site", 403},
	} {
		r := httptest.NewRequest("GET", "http://"+tt.host+"/get/", nil)
		r.RemoteAddr = tt.remote
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, rec.Code, tt.want)
		}
	}
}

func TestCompatValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		c    api.Compat
		want string
	}{
		{"none", api.Compat{}, ""},
		{"loopback", api.Compat{JHAO104: "127.0.0.1:5010", Scylla: "[::1]:8899"}, ""},
		{"any port twice", api.Compat{JHAO104: "127.0.0.1:0", Scylla: "127.0.0.1:0"}, ""},
		{"open", api.Compat{Henson: "0.0.0.0:3000"}, "henson: 0.0.0.0:3000 is not a loopback address"},
		{"open to some", api.Compat{Henson: "0.0.0.0:3000", AllowClients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, ""},
		{"no port", api.Compat{Python3WebSpider: "5555"}, "python3webspider: bad address"},
		{"twice", api.Compat{JHAO104: "127.0.0.1:5010", Scylla: "127.0.0.1:5010"}, "scylla: 127.0.0.1:5010 is that of compat.jhao104 already"},
	} {
		got := ""
		if err := tt.c.Validate(); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: Validate() = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The calls that change something are GETs, as in the originals: pages of other
// sites and tokens that only look are kept from them.
func TestCompatIsGuarded(t *testing.T) {
	t.Parallel()
	token := func(name string, role access.Role) api.Token {
		return api.Token{Name: name, Role: role, Token: proxy.NewSecret(name)}
	}
	w := open(t, func(c *api.Config, _ *api.Env) {
		c.Tokens = []api.Token{token("vera", access.Viewer), token("otto", access.Operator)}
	})
	for _, tt := range []struct {
		path   string
		header []string
		want   int
	}{
		{"get/", []string{"Authorization", "Bearer vera"}, 200},
		{"pop/", []string{"Authorization", "Bearer vera"}, 403},
		{"pop", []string{"Authorization", "Bearer vera"}, 403},
		{"delete/?proxy=9.9.9.9:80", []string{"Authorization", "Bearer vera"}, 403},
		{"delete/?proxy=9.9.9.9:80", []string{"Authorization", "Bearer otto"}, 200},
		{"pop/", []string{"Authorization", "Bearer otto", "Sec-Fetch-Site", "cross-site"}, 403},
		{"get/", []string{"Authorization", "Bearer otto", "Origin", "http://evil.example"}, 403},
		{"get/", []string{"Authorization", "Bearer otto", "Sec-Fetch-Site", "same-origin"}, 200},
	} {
		if status, _, body := w.do("GET", "/compat/jhao104/"+tt.path, "", tt.header...); status != tt.want {
			t.Errorf("GET %s with %v = %d %s, want %d", tt.path, tt.header, status, body, tt.want)
		}
	}
}
