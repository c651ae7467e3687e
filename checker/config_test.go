package checker_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v4"

	"freeway/checker"
	"freeway/dial"
	"freeway/lab"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  checker.Config
		want []string // beginnings of the mistakes
	}{
		{"nothing", checker.Config{}, nil},
		{"all in order", checker.Config{Concurrency: 1, Rate: 10, ConnectTimeout: time.Second, Timeout: time.Second, Recheck: time.Minute,
			Judges: []checker.Judge{{URL: "https://[2001:db8::1]:8443/x?y=z"}}, OwnIPs: []netip.Addr{netip.MustParseAddr("1.2.3.4")},
			Targets: []checker.TargetCheck{{Name: "a-B_1", URL: "http://example.com", Status: 204, Body: "x"}}}, nil},
		{"numbers", checker.Config{Concurrency: -1, Rate: -1, PerNetwork: -1, ConnectTimeout: time.Hour, Timeout: -1, Recheck: time.Millisecond},
			[]string{"concurrency: ", "rate: ", "per_network: ", "connect_timeout: ", "timeout: ", "recheck: "}},
		{"judges", checker.Config{Judges: []checker.Judge{{URL: "ftp://x/"}, {}, {URL: "http://u:hunter2@x/"}, {URL: "http://a b/"}, {URL: "http://x:0/"}}},
			[]string{"judges[0].url: scheme", "judges[1].url: ", "judges[2].url: credentials", "judges[3].url: ", "judges[4].url: "}},
		{"own", checker.Config{OwnIPs: []netip.Addr{{}, netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("fe80::1%eth0")}},
			[]string{"own_ips[0]: ", "own_ips[1]: ", "own_ips[2]: "}},
		{"targets", checker.Config{Targets: []checker.TargetCheck{{Name: "a b", URL: "x"}, {Name: "y", URL: "http://x", Status: 1},
			{Name: "Y", URL: "http://x", Body: strings.Repeat("x", 2000)}}},
			[]string{"targets[0].name: ", "targets[0].url: ", "targets[1].status: ", "targets[2].name: ", "targets[2].body: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			if err := tt.cfg.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(tt.want) {
				t.Fatalf("mistakes %q, want %d", got, len(tt.want))
			}
			for i, w := range tt.want {
				if !strings.HasPrefix(got[i], w) || strings.Contains(got[i], "hunter2") {
					t.Errorf("mistake %q, want it to begin with %q", got[i], w)
				}
			}
		})
	}
}

func TestJudgeYAML(t *testing.T) {
	t.Parallel()
	const text = "judges:\n- https://a.example/\n- {url: http://b.example/x, key_file: /run/key}\nrecheck: 1m0s\n"
	var c checker.Config
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	want := []checker.Judge{{URL: "https://a.example/"}, {URL: "http://b.example/x", KeyFile: "/run/key"}}
	if len(c.Judges) != 2 || c.Judges[0] != want[0] || c.Judges[1] != want[1] || c.Recheck != time.Minute {
		t.Errorf("judges = %+v, recheck %v, want %+v and 1m", c.Judges, c.Recheck, want)
	}
	out, err := yaml.Marshal(c.Judges)
	if err != nil {
		t.Fatal(err)
	}
	var back []checker.Judge
	if err := yaml.Unmarshal(out, &back); err != nil || len(back) != 2 || back[0] != want[0] || back[1] != want[1] {
		t.Errorf("written and read again: %+v, %v; text %q", back, err, out)
	}
	for _, bad := range []string{"judges: [{uri: x}]", "judges: [[x]]", "judges: [{url: [1]}]"} {
		if err := yaml.Unmarshal([]byte(bad), &c); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	d := dial.New(dial.Config{}, dial.Env{})
	for name, cfg := range map[string]checker.Config{
		"bad value":    {Rate: -1},
		"no CA file":   {JudgeCA: t.TempDir() + "/none.pem"},
		"not PEM":      {JudgeCA: writeFile(t, "ca.pem", "nothing")},
		"no key file":  {Judges: []checker.Judge{{URL: "http://x.example/", KeyFile: t.TempDir() + "/none"}}},
		"short key":    {Judges: []checker.Judge{{URL: "http://x.example/", KeyFile: writeFile(t, "key", "short\n")}}},
		"not a target": {Targets: []checker.TargetCheck{{Name: "x", URL: "gopher://x"}}},
	} {
		if _, err := checker.Open(cfg, checker.Env{Dialer: d}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := checker.Open(checker.Config{}, checker.Env{}); err == nil {
		t.Error("opened without a dialer")
	}
}

func TestPublicJudges(t *testing.T) {
	t.Parallel()
	operators, schemes := map[string]bool{}, map[string]int{}
	for _, u := range checker.PublicJudges() {
		to, _, path, _, err := checker.PageOf(u, "n")
		if err != nil {
			t.Errorf("%s: %v", u, err)
		}
		operators[to.Domain] = true
		schemes[strings.Split(u, ":")[0]]++
		if !strings.Contains(path, "show_env=1&nonce=n") {
			t.Errorf("%s asks for %s, want show_env=1 and the nonce", u, path)
		}
	}
	if len(operators) < 2 || schemes["http"] < 2 || schemes["https"] < 2 {
		t.Errorf("operators %v, schemes %v, want two of each at least", operators, schemes)
	}
}

func TestPageOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, to, host, path, shown string }{
		{"http://Example.com", "example.com:80", "example.com", "/?nonce=n", "http://example.com/"},
		{"https://example.com:443/a", "example.com:443", "example.com", "/a?nonce=n", "https://example.com/a"},
		{"https://example.com:80/a?b=c#d", "example.com:80", "example.com:80", "/a?b=c&nonce=n", "https://example.com:80/a?..."},
		{"http://[2001:db8::1]/", "[2001:db8::1]:80", "[2001:db8::1]", "/?nonce=n", "http://[2001:db8::1]/"},
		{"http://[2001:db8::1]:81/", "[2001:db8::1]:81", "[2001:db8::1]:81", "/?nonce=n", "http://[2001:db8::1]:81/"},
		{"http://1.2.3.4:8090/%2F/x%20y", "1.2.3.4:8090", "1.2.3.4:8090", "/%2F/x%20y?nonce=n", "http://1.2.3.4:8090/%2F/x%20y"},
	} {
		to, host, path, shown, err := checker.PageOf(tt.url, "n")
		if err != nil || to.String() != tt.to || host != tt.host || path != tt.path || shown != tt.shown {
			t.Errorf("PageOf(%q) = %v, %q, %q, %q, %v, want %+v", tt.url, to, host, path, shown, err, tt)
		}
	}
}

func TestConcurrencyFor(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{0: 1000, 64: 16, 256: 18, 1024: 274, 4096: 1000, 1 << 40: 1000} {
		if got := checker.ConcurrencyFor(files); got != want {
			t.Errorf("concurrency for %d files = %d, want %d", files, got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	b := newBench(t, func(_ *checker.Config, env *checker.Env) { env.Metrics = reg })
	b.one(t, b.add(t, lab.Upstream{}))
	b.one(t, closedPort(t))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
				if strings.Contains(l.GetValue(), "127.") {
					t.Errorf("%s has an address as label", f.GetName())
				}
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{"freeway_checks_total http ok": 1, "freeway_checks_total http refused": 1, "freeway_judge_up": 2,
		"freeway_judges": 2, "freeway_check_dials_total": 3 + canaries, "freeway_check_seconds connect": 1, "freeway_check_seconds first_byte": 1} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if _, err := checker.Open(checker.Config{}, checker.Env{Dialer: dial.New(dial.Config{}, dial.Env{}), Metrics: reg}); err == nil {
		t.Error("two checkers share one registry")
	}
}
