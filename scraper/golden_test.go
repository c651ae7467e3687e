package scraper_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freeway/proxy"
	"freeway/scraper"
)

var update = flag.Bool("update", false, "write the golden files anew")

// printed is everything that Parse says of a list: what it takes, what it
// refuses and the counts.
func printed(t testing.TB, in []byte, o scraper.ParseOptions) string {
	t.Helper()
	var out strings.Builder
	o.Rejected = func(r scraper.Rejection) { fmt.Fprintf(&out, "refused %d %q: %s\n", r.Line, r.Text, r.Reason) }
	o.Stats = func(s scraper.ParseStats) { fmt.Fprintf(&out, "%+v\n", s) }
	for c, err := range scraper.Parse(bytes.NewReader(in), o) {
		if err != nil {
			fmt.Fprintf(&out, "error: %v\n", err)
			continue
		}
		checkCandidate(t, c, o.Policy)
		fmt.Fprintln(&out, describe(c))
	}
	return out.String()
}

// checkCandidate demands what every candidate must be: canonical and allowed.
func checkCandidate(t testing.TB, c proxy.Candidate, policy proxy.AddrPolicy) {
	t.Helper()
	back, err := proxy.Parse(c.Endpoint.String())
	if err != nil || back != c.Endpoint {
		t.Errorf("%q is not canonical: Parse gives %q, %v", c.Endpoint, back, err)
	}
	if err := policy.CheckHost(c.Endpoint.Host); err != nil {
		t.Errorf("%q was taken: %v", c.Endpoint, err)
	}
	if c.Guess && c.Endpoint.Protocol != proxy.HTTP {
		t.Errorf("%q is a guess of another protocol than http", c.Endpoint)
	}
}

// TestGolden reads every file of testdata/parse and compares with what stands
// in the golden file beside it.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/parse/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files in testdata/parse", err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, ".golden") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := printed(t, in, scraper.ParseOptions{})
			golden := path + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("Parse(%s) differs (-want +got):\n%s", path, diff)
			}
		})
	}
}
