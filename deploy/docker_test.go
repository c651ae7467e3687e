package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"freeway/config"
)

// TestDockerfile: the image runs as nobody in particular, from nothing but the
// program, asks itself how it is, and is built as releases are.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := read(t, "docker/Dockerfile")
	_, last, _ := strings.Cut(text, "FROM scratch\n")
	for _, want := range []string{`^USER [1-9]\d*:[1-9]\d*$`, `^HEALTHCHECK .* CMD \["/usr/bin/freeway", "healthcheck", "--live"`,
		`^ENTRYPOINT \["/usr/bin/freeway"\]$`, `^STOPSIGNAL SIGTERM$`, `^VOLUME /data$`} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(last) {
			t.Errorf("the last stage has no line %s", want)
		}
	}
	for _, bad := range []string{`(?m)^ADD `, `:latest`, `(?m)^FROM \S+$\n.*latest`, `(?m)^USER root`, `curl|wget`} {
		if regexp.MustCompile(bad).MatchString(text) {
			t.Errorf("the Dockerfile matches %s", bad)
		}
	}
	goMod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if image := regexp.MustCompile(`golang:(\d+\.\d+)`).FindStringSubmatch(text); image == nil || image[1] != goMod[1] {
		t.Errorf("built with %v, want golang:%s", image, goMod[1])
	}
}

// TestDockerfileStages: images have versions, stages that are copied from exist,
// the last one runs nothing, and the program is built as make builds it.
func TestDockerfileStages(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(read(t, "docker/Dockerfile"), "\\\n", " ")
	stages := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)(?: AS (\S+))?$`).FindAllStringSubmatch(text, -1) {
		stages[m[2]] = true
		if m[1] != "scratch" && !regexp.MustCompile(`^[a-z0-9./-]+:\d[\w.-]*(@sha256:[0-9a-f]{64})?$`).MatchString(m[1]) {
			t.Errorf("the image %s has no version", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`--from=(\S+)`).FindAllStringSubmatch(text, -1) {
		if !stages[m[1]] {
			t.Errorf("there is no stage %s to copy from", m[1])
		}
	}
	if last := text[strings.LastIndex(text, "FROM "):]; strings.Contains(last, "\nRUN ") {
		t.Error("the last stage has no shell to run anything")
	}
	flags := regexp.MustCompile(`(?m)^LDFLAGS += (.*)$`).FindStringSubmatch(read(t, "../Makefile"))
	if want := strings.Replace(flags[1], "$(VERSION)", "$VERSION", 1); !strings.Contains(text, `go build -trimpath -ldflags "`+want+`"`) {
		t.Errorf("the image is not built with -ldflags %q", want)
	}
	ignored := read(t, "docker/Dockerfile.dockerignore")
	for _, secret := range []string{".git", "**/*.db", "deploy/docker/token", "deploy/docker/metrics-token"} {
		if !strings.Contains("\n"+ignored, "\n"+secret+"\n") {
			t.Errorf("%s would get into the build", secret)
		}
	}
}

// TestSampleConfigurations: Freeway takes every configuration that is delivered.
func TestSampleConfigurations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, gateway, admin string }{
		{"docker/freeway.yaml", "0.0.0.0:8080", "0.0.0.0:8081"},
		{"debian/freeway.yaml", "127.0.0.1:8080", "127.0.0.1:8081"},
		{"kustomize/base/freeway.yaml", "0.0.0.0:8080", "0.0.0.0:8081"},
	} {
		c, err := config.Load(config.LoadOptions{Path: tt.file})
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		if c.Gateway.Listen != tt.gateway || c.Admin.Listen != tt.admin {
			t.Errorf("%s listens on %s and %s, want %s and %s", tt.file, c.Gateway.Listen, c.Admin.Listen, tt.gateway, tt.admin)
		}
		if !c.Admin.Token.IsZero() {
			t.Errorf("%s holds a token", tt.file)
		}
	}
}
