package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freeway/config"
)

func TestTracingEndpoint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ endpoint, want string }{
		{"", ""},
		{"http://127.0.0.1:4318", ""},
		{"https://collector.example.com/v1/traces", ""},
		{"collector:4318", "not an address"},
		{"grpc://collector:4317", "not an address"},
		{"http://", "not an address"},
		{"http://a:b@collector", "no user or password"},
		{"http://collector/?k=v", "no query"},
	} {
		err := config.Tracing{Endpoint: tt.endpoint}.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Validate of endpoint %q = %v, want %q", tt.endpoint, err, tt.want)
		}
	}
}

func TestTracingHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       [][2]string
		bad        string
	}{
		{"two", "# for the collector\r\n\nAuthorization: Bearer a:b\nX-Scope : 1\n", [][2]string{{"Authorization", "Bearer a:b"}, {"X-Scope", "1"}}, ""},
		{"none", "", nil, ""},
		{"no colon", "\nsecret", nil, "line 2 of"},
		{"no name", ": secret", nil, "line 1 of"},
		{"a space in the name", "a b: secret", nil, "line 1 of"},
		{"a control character", "a: sec\x01ret", nil, "line 1 of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "headers")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := config.Tracing{HeadersFile: file}.Headers()
			if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.bad == "") {
				t.Errorf("Headers of %q = %v, %v (-want +got):\n%s", tt.text, got, err, diff)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.bad) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("the error is %q, want %q and no value in it", err, tt.bad)
			}
		})
	}
}
