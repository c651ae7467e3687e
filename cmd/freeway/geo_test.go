package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/internal/geo"
)

const placesList = "8.8.8.0\t8.8.8.255\t64500\tDE\tTest\n"

// placesFile writes a configuration whose store is in a folder of the test.
func placesFile(t *testing.T) (file, table string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "freeway.yaml")
	if err := os.WriteFile(file, []byte("store: {path: "+dir+"/freeway.db}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, dir + "/freeway.db.geo"
}

// TestGeoUpdateFromAnAddress: redirects are followed, a query is not shown,
// and the day is that of the list.
func TestGeoUpdateFromAnAddress(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/start":
			http.Redirect(w, r, "/list.tsv", http.StatusFound)
		case "/list.tsv":
			w.Header().Set("Last-Modified", "Tue, 03 Mar 2026 10:00:00 GMT")
			io.WriteString(w, placesList) //nolint:errcheck // the client tells
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, placesList) //nolint:errcheck // the client tells
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	file, table := placesFile(t)
	for path, want := range map[string]string{"/gone?key=hunter2": "the answer is 404 Not Found", "/cut?key=hunter2": "unexpected EOF", "/round?key=hunter2": "more than 5 redirects"} {
		code, _, errs := command(t, nil, "geo", "update", "--force", "--config", file, "--from", web.URL+path)
		if code != 1 || !strings.Contains(errs, want) || strings.Contains(errs, "hunter2") {
			t.Errorf("geo update from %s = %d, %q, want %q and no secret", path, code, errs, want)
		}
	}
	if _, err := os.Stat(table); err == nil {
		t.Error("a failed update left a table")
	}
	code, out, errs := command(t, nil, "geo", "update", "--force", "--config", file, "--from", web.URL+"/start?key=hunter2")
	if code != 0 || !strings.Contains(out, "is of 2026-03-03 and knows 1 countries and 1 networks") {
		t.Fatalf("geo update = %d, %q, %q", code, out, errs)
	}
	if _, out, _ := command(t, nil, "geo", "--config", file); !strings.Contains(out, web.URL+"/start\n") || strings.Contains(out, "hunter2") {
		t.Errorf("geo says\n%s", out)
	}
}

// TestReloadTakesUpPlaces: the server starts with the built-in table, uses one
// that was fetched after a reload, and keeps it when the next one is damaged.
func TestReloadTakesUpPlaces(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	is := func(when, want string) {
		t.Helper()
		if country, _, _ := r.geo.Lookup(netip.MustParseAddr("8.8.8.8")); country != want {
			t.Errorf("%s: the country is %q, want %q", when, country, want)
		}
	}
	is("built in", "US")
	file, _, err := geo.Import(strings.NewReader(placesList), geo.Info{})
	if err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(filepath.Dir(r.file), "freeway.db.geo")
	for _, step := range []struct {
		file []byte
		ok   bool
		want string
	}{{file, true, "DE"}, {file[:20], false, "DE"}, {nil, true, "US"}} {
		if step.file == nil {
			err = os.Remove(table)
		} else {
			err = os.WriteFile(table, step.file, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.reload(); (err == nil) != step.ok {
			t.Errorf("reload = %v, want success: %v", err, step.ok)
		}
		is("after a reload", step.want)
	}
}
