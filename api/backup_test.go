package api_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"freeway/api"
	"freeway/internal/access"
	"freeway/proxy"
)

// copied lets the API give "copy" as a copy, or "copy with secrets".
func copied(env *api.Env) {
	env.Backup = func(_ context.Context, passwords bool) (io.ReadCloser, int64, error) {
		text := "copy"
		if passwords {
			text = "copy with secrets"
		}
		return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
	}
	env.CheckStore = func(context.Context) (api.StoreReport, error) {
		return api.StoreReport{Format: 2, Problems: []string{"page 7 is not itself"}}, nil
	}
}

// TestBackup: copies and checks are for admins, and passwords for those with a token.
func TestBackup(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *api.Config, e *api.Env) {
		copied(e)
		for name, role := range map[string]access.Role{"vera": access.Viewer, "otto": access.Operator, "ada": access.Admin} {
			c.Tokens = append(c.Tokens, api.Token{Name: name, Role: role, Token: proxy.NewSecret(name)})
		}
	})
	free := open(t, func(_ *api.Config, e *api.Env) { copied(e) })
	for _, tt := range []struct {
		w          *world
		who, path  string
		status     int
		want, kind string
	}{
		{w, "vera", "/api/backup", 403, "role", ""},
		{w, "otto", "/api/backup", 403, "role", ""},
		{w, "otto", "/api/backup?passwords=true", 403, "role", ""},
		{w, "otto", "/api/store/check", 403, "role", ""},
		{w, "", "/api/backup", 401, "", ""},
		{w, "", "/api/store/check", 401, "", ""},
		{w, "ada", "/api/backup", 200, "copy", "application/octet-stream"},
		{w, "ada", "/api/backup?passwords=true", 200, "copy with secrets", "application/octet-stream"},
		{w, "ada", "/api/store/check", 200, `"problems":["page 7 is not itself"]`, "application/json"},
		{free, "", "/api/backup", 200, "copy", "application/octet-stream"},
		{free, "", "/api/backup?passwords=true", 403, "this server asks for none", ""},
	} {
		var header []string
		if tt.who != "" {
			header = []string{"Authorization", "Bearer " + tt.who}
		}
		status, h, body := tt.w.do("GET", tt.path, "", header...)
		if status != tt.status || !strings.Contains(body, tt.want) || tt.kind != "" && h.Get("Content-Type") != tt.kind {
			t.Errorf("GET %s as %q = %d %s %q, want %d %q", tt.path, tt.who, status, h.Get("Content-Type"), body, tt.status, tt.want)
		}
		if status == 200 && tt.want == "copy" && body != "copy" {
			t.Errorf("GET %s as %q = %q, want no passwords", tt.path, tt.who, body)
		}
	}
}

// TestBackupFails: a copy for which there is no room is 507, and a second one at
// the same time waits its turn.
func TestBackupFails(t *testing.T) {
	t.Parallel()
	began, end := make(chan struct{}), make(chan struct{})
	w := open(t, func(_ *api.Config, e *api.Env) {
		e.Backup = func(context.Context, bool) (io.ReadCloser, int64, error) {
			close(began)
			<-end
			return nil, 0, errors.New("copy the store: no space left on device")
		}
		e.CheckStore = func(context.Context) (api.StoreReport, error) {
			return api.StoreReport{}, errors.New("copy the store: no space left on device")
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if status, _, body := w.do("GET", "/api/backup", ""); status != 507 || !strings.Contains(body, "no space left") {
			t.Errorf("a backup without room = %d %s, want 507 and why", status, body)
		}
	}()
	<-began
	for _, path := range []string{"/api/backup", "/api/store/check"} {
		if status, h, _ := w.do("GET", path, ""); status != 429 || h.Get("Retry-After") == "" {
			t.Errorf("GET %s beside a backup = %d, Retry-After %q, want 429", path, status, h.Get("Retry-After"))
		}
	}
	close(end)
	<-done
	if status, _, body := w.do("GET", "/api/store/check", ""); status != 507 || !strings.Contains(body, "no space left") {
		t.Errorf("a check without room = %d %s, want 507 and why", status, body)
	}
}
