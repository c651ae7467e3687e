package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
)

// What follows is not reachable from outside: the bytes of records, which must
// stay readable for ever, and the steps of migrations.

func FuzzKey(f *testing.F) {
	for _, s := range []string{"http://1.2.3.4:80", "socks5://bob@[2a00::1]:1080", "https://proxy.example.com:443"} {
		ep, err := proxy.Parse(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(appendKey(nil, ep))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ep, err := parseKey(b)
		if err != nil {
			return
		}
		again, err := parseKey(appendKey(nil, ep))
		if err != nil || again != ep {
			t.Fatalf("parseKey(appendKey(%v)) = %v, %v", ep, again, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	key := appendKey(nil, proxy.Endpoint{Protocol: proxy.HTTP, Host: "1.2.3.4", Port: 80})
	for _, r := range samples() {
		f.Add(appendRecord(nil, key, &r)[5:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value := append([]byte{recordVersion, 0, 0, 0, 0}, body...)
		putChecksum(key, value)
		rec, err := parseRecord(key, value)
		if err != nil {
			return
		}
		once := appendRecord(nil, key, &rec)
		again, err := parseRecord(key, once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice := appendRecord(nil, key, &again); !bytes.Equal(once, twice) {
			t.Fatalf("a round trip changed\n%x to\n%x", once, twice)
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add(encodeLog([]op{{[]byte("a"), []byte("b")}, {[]byte("c"), nil}})[4:])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append(make([]byte, 4), body...)
		sum := crcOf(body)
		copy(b, sum[:])
		list, err := decodeLog(b)
		if err == nil && len(list) > 0 && !sameOps(list, mustDecode(t, encodeLog(list))) {
			t.Fatal("a round trip changed the log")
		}
	})
}

func crcOf(b []byte) (sum [4]byte) {
	binary.LittleEndian.PutUint32(sum[:], crc32.ChecksumIEEE(b))
	return sum
}

func putChecksum(key, value []byte) {
	binary.LittleEndian.PutUint32(value[1:], checksum(key, value[5:]))
}

func mustDecode(t *testing.T, b []byte) []op {
	t.Helper()
	list, err := decodeLog(b)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func sameOps(a, b []op) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].key, b[i].key) || !bytes.Equal(a[i].value, b[i].value) {
			return false
		}
	}
	return true
}

func samples() []proxy.Record {
	at := time.Unix(1_800_000_000, 0)
	return []proxy.Record{
		{},
		{Guess: true, Pool: "public", Sources: []string{"a", "b"}, Health: proxy.Health{OK: 1, Fail: .5, At: 5, Up: .25, Odds: -1.5}, FirstSeen: at, Misses: 9},
		{Passed: true, FirstLive: true, Latency: time.Second, LastLive: at, NextCheck: at, Password: proxy.NewSecret("x"),
			Traits: proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.No, Anonymity: proxy.Elite, ExitIP: netip.MustParseAddr("5.5.5.5"), Country: "DE"}},
	}
}

// TestTrailingFields: what a newer version adds at the end is ignored, and
// damage is noticed.
func TestTrailingFields(t *testing.T) {
	t.Parallel()
	key := appendKey(nil, proxy.Endpoint{Protocol: proxy.HTTP, Host: "1.2.3.4", Port: 80})
	for _, r := range samples() {
		value := append(appendRecord(nil, key, &r), 1, 2, 3)
		if _, err := parseRecord(key, value); !errors.Is(err, errRecord) {
			t.Errorf("a record with a wrong checksum = %v, want an error", err)
		}
		putChecksum(key, value)
		got, err := parseRecord(key, value)
		if err != nil || got.Pool != r.Pool || got.Traits != r.Traits {
			t.Errorf("a record with more at the end = %+v, %v", got, err)
		}
		if _, err := parseRecord(append(key, 'x'), value); err == nil {
			t.Error("a record was taken for another endpoint's")
		}
	}
}

// TestRecordV1 pins the bytes of format 1: files of every version must stay
// readable.
func TestRecordV1(t *testing.T) {
	t.Parallel()
	key := []byte("\x04\x05\x06\x07\x08\x1f\x90\x04bob")
	value := []byte("\x01\x00\x00\x00\x00\x06\x03own\x01\x04list\x00\x00\x80\x3f\x00\x00\x00\x3f\x80\xa4\xa7\xda\x06" +
		"\x80\xa4\xa7\xda\x06\x80\xa4\xa7\xda\x06\x80\xa4\xa7\xda\x06\x80\xa4\xa7\xda\x06\x80\xa0\x81\xbc\xb1\x34" +
		"\x00\x01\x02\x03\x02\x01\x00\xc0\x84\x3d\x05\x06\x02\x02\x00\x01\x01\x03\x04\x09\x09\x09\x09\x02DE\xec\xc2\x01\x02Hz\x00")
	putChecksum(key, value)
	r, err := parseRecord(key, value)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0)
	want := proxy.Endpoint{Protocol: proxy.SOCKS5, Host: "5.6.7.8", Port: 8080, User: "bob"}
	if r.Endpoint != want || !r.Passed || r.Guess || r.Pool != "own" || r.Sources[0] != "list" || r.Health != proxy.Restored(1, .5, 1_800_000_000) ||
		!r.FirstSeen.Equal(at) || !r.LastLive.Equal(at) || r.UseFails != 1 || r.Checks != (proxy.Tally{OK: 2, Failed: 3}) ||
		r.Error != (proxy.Fault{Stage: proxy.StageConnect, Class: proxy.Timeout}) || r.Latency != time.Millisecond || r.Uses != (proxy.Tally{OK: 5, Failed: 6}) ||
		r.Traits.ExitIP != netip.MustParseAddr("9.9.9.9") || r.Traits.Country != "DE" || r.Traits.ASN != 24940 || r.Traits.Tunnel != proxy.Yes || r.Traits.TunnelAny != proxy.No {
		t.Errorf("a record of format 1 reads as %+v", r)
	}
}

func TestDamagedNumbers(t *testing.T) {
	t.Parallel()
	for _, f := range []float32{-1, float32(math.NaN()), float32(math.Inf(1))} {
		if w := weight(math.Float32bits(f)); w != 0 {
			t.Errorf("a health of %v reads as %v, want 0", f, w)
		}
	}
	r := reader{rest: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}}
	if at := r.time(time.UnixMilli); !at.IsZero() {
		t.Errorf("a time behind the year 9999 reads as %v", at)
	}
}

// TestMigrate: files of older formats are copied and brought up step by step,
// and a step that fails leaves all as it was.
func TestMigrate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.db.Update(func(tx *bolt.Tx) error { return writeVersion(tx, version-1) }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	put := func(err error) map[int]migration {
		return map[int]migration{version - 1: func(tx *bolt.Tx) error {
			return errors.Join(putDocs(tx, map[string][]byte{"migrated": []byte("yes")}), err)
		}}
	}
	if err := s.migrate(s.db, version-1, nil); err == nil {
		t.Error("a format without a way was migrated")
	}
	if err := s.migrate(s.db, version-1, put(boom)); !errors.Is(err, boom) {
		t.Errorf("migrate = %v, want boom", err)
	}
	if docs, _ := s.Docs(t.Context()); len(docs) != 0 {
		t.Errorf("a failed step left %v", docs)
	}
	if err := s.migrate(s.db, version-1, put(nil)); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		if v, err := readVersion(tx); v != version || err != nil {
			t.Errorf("after the migration the version is %d, %v", v, err)
		}
		return nil
	})
	if docs, _ := s.Docs(t.Context()); err != nil || string(docs["migrated"]) != "yes" {
		t.Errorf("the step was not made: %v, %v", docs, err)
	}
	if err := s.migrate(s.db, version+1, nil); !errors.Is(err, ErrNewer) {
		t.Errorf("migrate from a newer format = %v, want ErrNewer", err)
	}
	if _, err := os.Stat(path + ".v1.bak"); err != nil {
		t.Errorf("no copy was made before: %v", err)
	}
}

// TestPanicsAreErrors: bbolt panics on files that make no sense.
func TestPanicsAreErrors(t *testing.T) {
	t.Parallel()
	if err := guard(func() error { panic("page 7: unexpected") }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("guard = %v, want ErrCorrupt", err)
	}
}
