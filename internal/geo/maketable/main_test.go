package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/internal/geo"
)

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list, out := filepath.Join(dir, "list.tsv"), filepath.Join(dir, "out.geo")
	if err := os.WriteFile(list, []byte("1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := run([]string{"-out", out, "-date", "2026-03-04", "-licence", "PDDL", list}, &said); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "1 countries, 1 systems") {
		t.Errorf("it says %q", &said)
	}
	d, err := geo.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if country, asn, org := d.Lookup(netip.MustParseAddr("1.0.0.1")); country != "US" || asn != 13335 || org != "CLOUDFLARENET" {
		t.Errorf("Lookup(1.0.0.1) = %q, %d, %q", country, asn, org)
	}
	for _, args := range [][]string{{list}, {"-date", "2026-03-04"}, {"-date", "2026-03-04", list + ".missing"}, {"-date", "2026-03-04", filepath.Join(dir, "none.mmdb")}} {
		if err := run(append([]string{"-out", out}, args...), &said); err == nil {
			t.Errorf("run(%q) took it", args)
		}
	}
}
