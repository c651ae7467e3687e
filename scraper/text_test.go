package scraper_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"freeway/proxy"
	"freeway/scraper"
)

// found reads a list that is a string, as describe prints it.
func found(t *testing.T, in string, o scraper.ParseOptions) []string {
	t.Helper()
	var out []string
	for c, err := range scraper.Parse(strings.NewReader(in), o) {
		if err != nil {
			t.Errorf("Parse(%.60q): %v", in, err)
			continue
		}
		checkCandidate(t, c, o.Policy)
		out = append(out, describe(c))
	}
	return out
}

// parseCase is a list and what it holds, separated by "; ".
type parseCase struct{ name, in, want string }

func runCases(t *testing.T, o scraper.ParseOptions, cases []parseCase) {
	t.Helper()
	for _, tt := range cases {
		if got := strings.Join(found(t, tt.in, o), "; "); got != tt.want {
			t.Errorf("%s: Parse(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestTextProtocols(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{Protocols: []proxy.Protocol{proxy.SOCKS4}}, []parseCase{
		{"default", "45.9.8.7:80", "socks4 45.9.8.7:80"},
		{"scheme beats default", "socks5://45.9.8.7:80", "socks5 45.9.8.7:80"},
		{"scheme beats column", "http://45.9.8.7:80|socks5", "http 45.9.8.7:80"},
		{"column beats default", "45.9.8.7:80|socks5", "socks5 45.9.8.7:80"},
		{"column beats heading", "HTTP:\n45.9.8.7:80|socks5", "socks5 45.9.8.7:80"},
		{"heading beats default", "HTTP:\n45.9.8.7:80", "http 45.9.8.7:80"},
		{"heading http and https", "Free HTTP/HTTPS proxies\n45.9.8.7:80", "http 45.9.8.7:80"},
		{"prose is no heading", "we also have http ones\n45.9.8.7:80", "socks4 45.9.8.7:80"},
		{"several in a cell", "45.9.8.7:80 HTTP/SOCKS5", "http 45.9.8.7:80; socks5 45.9.8.7:80"},
		{"several words", "45.9.8.7:80 socks4, socks5", "socks4 45.9.8.7:80; socks5 45.9.8.7:80"},
		{"socks4/5", "45.9.8.7:80|socks4/5", "socks4 45.9.8.7:80; socks5 45.9.8.7:80"},
		{"an answer of no", "45.9.8.7:80 https=no", "socks4 45.9.8.7:80"},
		{"an answer of yes", "45.9.8.7:80 https=yes", "https 45.9.8.7:80"},
		{"before", "http 45.9.8.7:80 fast", "http 45.9.8.7:80"},
		{"before each", "http 45.9.8.7:80 socks5 45.9.8.6:81", "http 45.9.8.7:80; socks5 45.9.8.6:81"},
		{"behind each", "45.9.8.7:80 http, 45.9.8.6:81 socks5", "http 45.9.8.7:80; socks5 45.9.8.6:81"},
		{"version of HTTP", "45.9.8.7:80 HTTP/1.1 200", "socks4 45.9.8.7:80"},
		{"behind a comment sign", "45.9.8.7:80 # socks5", "socks5 45.9.8.7:80"},
		{"another protocol", "45.9.8.7:80|vless", ""},
		{"a secret", "Server: 45.9.8.7 Port: 443 Secret: ee00", ""},
		{"no entry in a comment", "45.9.8.7:80 # not 45.9.8.6:80", "socks4 45.9.8.7:80"},
	})
}

func TestTextDefaults(t *testing.T) {
	t.Parallel()
	both := scraper.ParseOptions{Protocols: []proxy.Protocol{proxy.SOCKS5, proxy.HTTP}, Pool: "own"}
	for c, err := range scraper.Parse(strings.NewReader("45.9.8.7:80"), both) {
		if err != nil || c.Pool != "own" || c.Guess {
			t.Errorf("Parse gives %+v, %v, want a candidate of pool own that is no guess", c, err)
		}
	}
	if got, want := found(t, "45.9.8.7:80", both), []string{"socks5 45.9.8.7:80", "http 45.9.8.7:80"}; !slices.Equal(got, want) {
		t.Errorf("Parse with two protocols = %q, want %q", got, want)
	}
	for c := range scraper.Parse(strings.NewReader("45.9.8.7:80"), scraper.ParseOptions{}) {
		if !c.Guess || c.Endpoint.Protocol != proxy.HTTP || c.Pool != proxy.PublicPool {
			t.Errorf("Parse with no protocol = %+v, want a guess of http in pool public", c)
		}
	}
}

func TestPrivateAddressesNeedAPolicy(t *testing.T) {
	t.Parallel()
	in := "127.0.0.1:80\nhttp://squid:3128\nlocalhost:81\nsocks5://localhost:82\n10.0.0.1:80\nproxy.corp.internal:80\n"
	if got := found(t, in, scraper.ParseOptions{}); len(got) != 0 {
		t.Errorf("Parse under the public policy = %q, want nothing", got)
	}
	lab := scraper.ParseOptions{Policy: proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))}
	want := []string{"- 127.0.0.1:80", "http squid:3128", "socks5 localhost:82", "- proxy.corp.internal:80"}
	if got := found(t, in, lab); !slices.Equal(got, want) {
		t.Errorf("Parse under a policy with loopback = %q, want %q", got, want)
	}
}

func TestEntriesAreGivenOnce(t *testing.T) {
	t.Parallel()
	in := "45.9.8.7:80\n45.9.8.7:80\nhttp://45.9.8.7:80\nsocks5://45.9.8.7:80\n45.9.8.7:81\nu:p@45.9.8.7:80\nu:q@45.9.8.7:80\nv:p@45.9.8.7:80\n" +
		"[2606:4700::1]:80\n[2606:4700:0::1]:80\n[2606:4700::2]:80\n[::ffff:45.9.8.7]:80\na.example.com:80\nA.example.com.:80\nA.EXAMPLE.COM:80\nb.example.com:80\n"
	want := []string{"- 45.9.8.7:80", "socks5 45.9.8.7:80", "- 45.9.8.7:81", "- 45.9.8.7:80 u:p", "- 45.9.8.7:80 v:p",
		"- [2606:4700::1]:80", "- [2606:4700::2]:80", "- a.example.com:80", "- b.example.com:80"}
	if got := found(t, in, scraper.ParseOptions{}); !slices.Equal(got, want) {
		t.Errorf("Parse = %q, want %q", got, want)
	}
}

// TestNoEntryIsLost has many entries that differ in little, so that a set of
// shortened identities would lose some.
func TestNoEntryIsLost(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	const n = 30_000
	for i := range n { // these differ in few bits only
		fmt.Fprintf(&b, "45.%d.%d.7:80\n", i>>8, i&0xff)
		fmt.Fprintf(&b, "[2606:4700::%x]:80\n", i)
	}
	if got := len(found(t, b.String(), scraper.ParseOptions{})); got != 2*n {
		t.Errorf("Parse gives %d entries, want %d", got, 2*n)
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	for _, sep := range []string{" ", ",", ";", "|", ", ", "\t", "\r"} {
		r := rand.New(rand.NewPCG(9, 9))
		var want []string
		var b strings.Builder
		for b.Len() < 150_000 {
			ep := fmt.Sprintf("%s:%d", publicAddr(r), 10_000+r.IntN(50_000))
			want = append(want, "- "+ep)
			b.WriteString(ep + sep)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		got := found(t, b.String(), scraper.ParseOptions{})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("one line of %d entries with %q between: %d found", len(want), sep, len(got))
		}
	}
}

func TestWordsThatAreTooLongHoldNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{60_000, 65_536 - 12, 65_536 - 5, 65_536, 131_072 - 7, 200_000} {
		in := strings.Repeat("x", n) + "45.9.8.7:8080" + strings.Repeat("1", 70_000) + "\n45.9.8.6:80\n"
		if got, want := found(t, in, scraper.ParseOptions{}), []string{"- 45.9.8.6:80"}; !slices.Equal(got, want) {
			t.Errorf("a word of %d bytes: %q, want %q", n, got, want)
		}
	}
}

// lineSource gives lines without end; each is different.
type lineSource struct {
	n, most int
	rest    []byte
}

func (e *lineSource) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.n == e.most {
			return 0, io.EOF
		}
		for range 100 {
			e.rest = fmt.Appendf(e.rest, "45.%d.%d.%d:%d\n", e.n>>16&0xff, e.n>>8&0xff, e.n&0xff, 1+e.n>>24)
			e.n++
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestMemoryDoesNotGrowWithTheInput(t *testing.T) {
	const limit, lines = 64 << 20, 1_200_000
	var m runtime.MemStats
	n, most := 0, uint64(0)
	for _, err := range scraper.Parse(&lineSource{most: lines}, scraper.ParseOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%300_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if n < lines*9/10 || most > limit {
		t.Errorf("%d entries with up to %d MiB in use, want %d with at most %d", n, most>>20, lines, limit>>20)
	}
}

func TestErrorsOfTheReaderEndTheSequence(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, as := range scraper.Formats() {
		r := io.MultiReader(strings.NewReader("\n"), iotest.ErrReader(broken))
		var last error
		n := 0
		for _, err := range scraper.Parse(r, scraper.ParseOptions{As: as}) {
			last = err
			n++
		}
		if !errors.Is(last, broken) || n != 1 {
			t.Errorf("as %s: %d elements, the last with error %v, want 1 with %v", as, n, last, broken)
		}
	}
}

func TestEntriesBeforeAnErrorAreGiven(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(strings.Repeat("45.9.8.7:80\n", 10_000)), iotest.ErrReader(broken))
	var got []string
	for c, err := range scraper.Parse(r, scraper.ParseOptions{}) {
		if err != nil {
			got = append(got, err.Error())
		} else {
			got = append(got, describe(c))
		}
	}
	if want := []string{"- 45.9.8.7:80", "broken"}; !slices.Equal(got, want) {
		t.Errorf("Parse = %q, want %q", got, want)
	}
}

func TestTheConsumerMayStop(t *testing.T) {
	t.Parallel()
	in := "45.9.8.7:80\n45.9.8.6:80\n45.9.8.5:80\n"
	for _, doc := range []string{in, `["45.9.8.7:80","45.9.8.6:80"]`, "<p>45.9.8.7:80<p>45.9.8.6:80", "a:\n- 45.9.8.7:80\n- 45.9.8.6:80\n", "<list><b>45.9.8.7:80</b><b>45.9.8.6:80</b></list>"} {
		n, told := 0, 0
		for range scraper.Parse(strings.NewReader(doc), scraper.ParseOptions{Protocols: proxy.Protocols(), Stats: func(scraper.ParseStats) { told++ }}) {
			n++
			break
		}
		if n != 1 || told != 1 {
			t.Errorf("stopping at the first entry of %q: %d given, statistics told %d times", doc, n, told)
		}
	}
}

func TestRejectionsHoldNoPasswords(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, in := range []string{
		"u:hunter2@10.0.0.1:80", "10.0.0.1:80:u:hunter2", "u:hunter2:10.0.0.1:80", "10.0.0.1:80@u:hunter2", "http://u:hunter2@10.0.0.1:80", "http://u:hunter2@45.9.8.7:99999",
		"45.9.8.7:99999:u:hunter2", "trojan://hunter2@45.9.8.7:80", "vmess://hunter2", "tg://proxy?server=45.9.8.7&secret=hunter2", "http://u:hunter2@45.9.8.7:80/path",
		"http://45.9.8.7:80/path?key=hunter2", "45.9.8.7.1:80:hunter2", "ftp://u:hunter2@45.9.8.7:21", `{"ip":"10.0.0.1","port":1,"username":"u","password":"hunter2"}`, "u:hunter2@1.2.3.4.5:80", "http://hunter2@example.com:80 is here",
		"proxies:\n- {server: 10.0.0.1, port: 1, type: http, username: u, password: hunter2}", "256.1.1.1:80:u:hunter2", "45.9.8.7:80a:u:hunter2",
	} {
		n := 0
		o := scraper.ParseOptions{Rejected: func(r scraper.Rejection) {
			n++
			if strings.Contains(r.Text, secret) || strings.Contains(r.Reason, secret) {
				t.Errorf("the rejection of %q shows the password: %+v", in, r)
			}
		}}
		if got := found(t, in, o); len(got) != 0 || n == 0 {
			t.Errorf("Parse(%q) = %q with %d rejections, want nothing and a rejection", in, got, n)
		}
	}
}

func TestLoginsThatCannotBeSentAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	for _, in := range []string{"http://" + long + ":p@45.9.8.7:80", "http://u:" + long + "@45.9.8.7:80", "http://u:p%0d%0ax@45.9.8.7:80", "http://:p@45.9.8.7:80"} {
		if got := found(t, in, scraper.ParseOptions{}); len(got) != 0 {
			t.Errorf("Parse(%.40q) = %q, want nothing", in, got)
		}
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	var got scraper.ParseStats
	o := scraper.ParseOptions{Stats: func(s scraper.ParseStats) { got = s }}
	found(t, "45.9.8.7:80\n45.9.8.7:80\n10.0.0.1:80\nnothing\n", o)
	if want := (scraper.ParseStats{Format: "text", Rows: 4, Taken: 2, Refused: 1}); got != want {
		t.Errorf("statistics %+v, want %+v", got, want)
	}
}
