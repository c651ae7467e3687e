package scraper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"freeway/proxy"
	"freeway/scraper"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  scraper.Config
		want string // "" for valid
	}{
		{"zero", scraper.Config{}, ""},
		{"cron", scraper.Config{Schedule: "*/5 * * * *"}, ""},
		{"every", scraper.Config{Schedule: "@every 1s"}, ""},
		{"zone", scraper.Config{Schedule: "CRON_TZ=Europe/Paris 0 3 * * *"}, ""},
		{"too often", scraper.Config{Schedule: "@every 0s"}, "schedule: "},
		{"no interval", scraper.Config{Schedule: "@every soon"}, "schedule: "},
		{"panics the library", scraper.Config{Schedule: "TZ=UTC"}, "schedule: "},
		{"words", scraper.Config{Schedule: "hourly"}, "schedule: "},
		{"never", scraper.Config{Schedule: "0 0 31 2 *"}, "never comes"},
		{"concurrency", scraper.Config{Concurrency: 257}, "concurrency: "},
		{"timeout", scraper.Config{Timeout: time.Hour}, "timeout: "},
		{"short timeout", scraper.Config{Timeout: time.Microsecond}, "timeout: "},
		{"bytes", scraper.Config{MaxBytes: 2 << 30}, "max_bytes: "},
		{"negative", scraper.Config{MaxBytes: -1}, "max_bytes: "},
	} {
		err := c.cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Validate() = %v, want %q", c.name, err, c.want)
		}
	}
}

// secrets compares what is inside of them.
var secrets = cmp.Comparer(func(a, b proxy.Secret) bool { return a.Reveal() == b.Reveal() })

func TestConfigYAML(t *testing.T) {
	t.Parallel()
	var got struct {
		Scraper scraper.Config  `yaml:"scraper"`
		Sources scraper.Sources `yaml:"sources"`
	}
	const text = `
scraper: {schedule: "@every 30m", concurrency: 8, timeout: 20s, max_bytes: 32MiB}
sources:
  builtin: [monosans, geonode]
  dir: sources.d
  list:
    - {name: mine, url: "https://127.0.0.1/{page}", protocols: [http], pool: own, pages: {from: 1, to: 3}, headers: {X: y}, html: {row: tr}, json: {host: ip}, enabled: false, method: post, body: "p={page}", min_yield: 5, via: pool}
`
	if err := yaml.Load([]byte(text), &got, yaml.WithKnownFields()); err != nil {
		t.Fatalf("Load() = %v", err)
	}
	off := false
	want := got
	want.Scraper = scraper.Config{Schedule: "@every 30m", Concurrency: 8, Timeout: 20 * time.Second, MaxBytes: 32 << 20}
	want.Sources = scraper.Sources{Builtin: scraper.Builtin{Names: []string{"monosans", "geonode"}}, Dir: "sources.d", List: []scraper.Source{{
		Name: "mine", URL: "https://127.0.0.1/{page}", Protocols: []string{"http"}, Pool: "own", Pages: scraper.Pages{From: 1, To: 3},
		Headers: map[string]string{"X": "y"}, HTML: map[string]string{"row": "tr"}, JSON: map[string]string{"host": "ip"}, Enabled: &off,
		Method: "post", Body: proxy.NewSecret("p={page}"), MinYield: 5, Via: "pool",
	}}}
	if diff := cmp.Diff(want, got, secrets); diff != "" {
		t.Errorf("Load() differs (-want +got):\n%s", diff)
	}
	if err := got.Sources.Validate(); err != nil {
		t.Errorf("Validate() = %v", err)
	}
	for _, b := range []scraper.Builtin{{All: true}, {}, {Names: []string{"a"}}} {
		out, err := yaml.Dump(b)
		if err != nil {
			t.Errorf("Dump(%+v) = %v", b, err)
		}
		var back scraper.Builtin
		if err := yaml.Load(out, &back); err != nil || !cmp.Equal(back, b) {
			t.Errorf("Load(%q) = %+v, %v, want %+v", out, back, err, b)
		}
	}
	var b scraper.Builtin
	if err := yaml.Load([]byte("maybe"), &b); err == nil || !strings.Contains(err.Error(), "true, false or a list") {
		t.Errorf("Load(maybe) = %v, want the choices", err)
	}
}

func TestSourcesValidate(t *testing.T) {
	t.Parallel()
	ok := scraper.Source{Name: "a", URL: "http://127.0.0.1/"}
	for _, c := range []struct {
		name    string
		sources scraper.Sources
		want    string
	}{
		{"empty", scraper.Sources{}, ""},
		{"typo", scraper.Sources{Builtin: scraper.Builtin{Names: []string{"geonodes"}}}, `builtin[0]: there is no built-in source "geonodes"; is it "geonode"?`},
		{"nothing near", scraper.Sources{Builtin: scraper.Builtin{Names: []string{"zzz"}}}, `there is no built-in source "zzz"`},
		{"twice", list(ok, ok), `list[1].name: "a" is also the name of list[0]`},
		{"bad", list(ok, scraper.Source{Name: "b"}), "list[1].url"},
	} {
		err := c.sources.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Validate() = %v, want %q", c.name, err, c.want)
		}
	}
}
