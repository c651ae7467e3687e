package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// command runs the program in this process, without a configuration file.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs lockedBuffer
	dir := t.TempDir()
	environ := []string{"XDG_CONFIG_HOME=" + dir, "HOME=" + dir}
	for k, v := range env {
		environ = append(environ, k+"="+v)
	}
	code = run(t.Context(), args, environ, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// adminServer answers like an admin API and notes what it was asked.
func adminServer(t *testing.T, status int, body string) (url string, asked func() []*http.Request) {
	t.Helper()
	requests := make(chan *http.Request, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		w.Write([]byte(body)) //nolint:errcheck // a test's client stays
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []*http.Request {
		var all []*http.Request
		for len(requests) > 0 {
			all = append(all, <-requests)
		}
		return all
	}
}

func TestGetAsksTheServer(t *testing.T) {
	t.Parallel()
	url, asked := adminServer(t, 200, "socks5://198.51.100.7:1080")
	code, out, errs := command(t, map[string]string{"FREEWAY_ADMIN_TOKEN": "hunter2"},
		"get", "--server", url, "-n", "3", "--country", "de,nl", "--max-latency", "800", "--wait", "2s")
	if code != 0 || out != "socks5://198.51.100.7:1080\n" || errs != "" {
		t.Errorf("get = %d, %q, %q", code, out, errs)
	}
	r := asked()[0]
	if got, want := r.URL.Path, "/api/proxies/random"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	if got, want := r.URL.Query().Encode(), "country=de%2Cnl&format=txt&max_latency=800&n=3&wait=2s"; got != want {
		t.Errorf("query %s, want %s", got, want)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer hunter2" {
		t.Errorf("Authorization = %q", got)
	}
}

func TestGetReadsTheTokenFile(t *testing.T) {
	t.Parallel()
	url, asked := adminServer(t, 200, "x")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hunter3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, map[string]string{"FREEWAY_ADMIN_TOKEN_FILE": file}, "get", "--server", url+"/"); code != 0 {
		t.Fatalf("get = %d, %s", code, errs)
	}
	if got := asked()[0].Header.Get("Authorization"); got != "Bearer hunter3" {
		t.Errorf("Authorization = %q", got)
	}
	code, _, errs := command(t, map[string]string{"FREEWAY_ADMIN_TOKEN_FILE": file + ".gone"}, "get", "--server", url)
	if code != 1 || !strings.HasPrefix(errs, "freeway: admin.token_file: ") {
		t.Errorf("get with a missing token file = %d, %q", code, errs)
	}
}

func TestServersErrorsArePassedOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status     int
		body, want string
	}{
		{404, `{"title":"Not Found","status":404,"detail":"12 live, none in DE"}`, "the server answers 404 Not Found: 12 live, none in DE"},
		{401, `{"detail":"a token is needed"}`, "the server answers 401 Unauthorized: a token is needed, and commands send that of admin.token or admin.token_file; set it there or in FREEWAY_ADMIN_TOKEN"},
		{500, "<html>\x1b[31m", "the server answers 500 Internal Server Error"},
		{404, `{"detail":"a\u001b[2Jb\nc"}`, "the server answers 404 Not Found: a [2Jb c"},
		{302, "", "the server answers 302 Found"},
	} {
		url, _ := adminServer(t, tt.status, tt.body)
		if code, out, errs := command(t, nil, "get", "--server", url); code != 1 || out != "" || errs != "freeway: "+tt.want+"\n" {
			t.Errorf("get after %d %q = %d, %q, %q, want 1 and %q", tt.status, tt.body, code, out, errs, tt.want)
		}
	}
}

func TestExplainPrintsTheAnswer(t *testing.T) {
	t.Parallel()
	url, asked := adminServer(t, 200, `{"total":3,"steps":[]}`)
	code, out, errs := command(t, nil, "explain", "--server", url, "bob-country-de", "https://example.com/?a=b")
	if code != 0 || out != "{\n  \"total\": 3,\n  \"steps\": []\n}\n" {
		t.Errorf("explain = %d, %q, %q", code, out, errs)
	}
	q := asked()[0].URL.Query()
	if q.Get("user") != "bob-country-de" || q.Get("url") != "https://example.com/?a=b" {
		t.Errorf("asked for %v", q)
	}
}

// TestExplainOfWhatIsMisspelt: a server that cannot read user name or address
// means wrong usage; one that refuses what it has read means failure.
func TestExplainOfWhatIsMisspelt(t *testing.T) {
	t.Parallel()
	for detail, want := range map[string]int{"bad_options: unknown key": 2, "bad_request: not an address": 2, "forbidden_target: this port is closed": 1, "": 1} {
		url, _ := adminServer(t, 422, fmt.Sprintf(`{"title":"Unprocessable Entity","detail":%q}`, detail))
		code, out, errs := command(t, nil, "explain", "--server", url, "bob", "https://example.com/")
		if code != want || out != "" || !strings.Contains(errs, detail) {
			t.Errorf("explain answered by %q = %d, %q, %q, want %d", detail, code, out, errs, want)
		}
	}
}

// TestCompletionAsksTheServer: of --server, as the command itself would.
func TestCompletionAsksTheServer(t *testing.T) {
	t.Parallel()
	for flag, tt := range map[string]struct{ answer, want string }{
		"--country": {`{"countries":{"DE":3,"US":12}}`, "us\nde\n:4\n"},
		"--pool":    {`{"pools":{"own":1,"public":9}}`, "public\nown\n:4\n"},
		"--source":  {`{"items":[{"name":"mine"}]}`, "mine\n:4\n"},
	} {
		url, _ := adminServer(t, 200, tt.answer)
		if code, out, _ := command(t, nil, "__complete", "get", "--server", url, flag, ""); code != 0 || out != tt.want {
			t.Errorf("completion of %s = %d, %q, want %q", flag, code, out, tt.want)
		}
	}
}
