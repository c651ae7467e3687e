package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"freeway/internal/access"
)

const (
	backupChunk    = 1 << 20          // bytes
	backupPatience = 30 * time.Second // a client must take a chunk in this time
)

// registerBackup adds the copy of the store and its check.
func (a *API) registerBackup(h huma.API) {
	a.registerStoreCheck(h)
	if a.env.Backup == nil {
		return
	}
	huma.Register(h, huma.Operation{OperationID: "backup", Method: http.MethodGet, Path: "/api/backup", Tags: []string{"status"},
		Summary: "A copy of the store as it is now, for \"freeway store restore\"; admins only", Errors: []int{403, 429, 507},
		Description: "The copy is made beside the store first, so that slow clients do not make the store grow. One is made at a time.",
		Responses: map[string]*huma.Response{"200": {Description: "The file.",
			Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}},
	}, a.backup)
}

type backupInput struct {
	Passwords bool `query:"passwords" doc:"With the passwords of upstreams. Only where a token is asked for."`
}

func (a *API) backup(ctx context.Context, in *backupInput) (*huma.StreamResponse, error) {
	if err := adminsOnly(ctx); err != nil {
		return nil, err
	}
	if in.Passwords && access.From(ctx).Name == "" {
		return nil, huma.NewError(http.StatusForbidden, "passwords are given only to who has a token, and this server asks for none; set admin.token_file, or copy the file while the server is stopped")
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		a.sendBackup(w, r, in.Passwords)
	}}, nil
}

// adminsOnly refuses everybody else.
func adminsOnly(ctx context.Context) error {
	if access.From(ctx).Role < access.Admin {
		return huma.NewError(http.StatusForbidden, "the role of this token is not enough for that")
	}
	return nil
}

// sendBackup makes a copy and sends it.
func (a *API) sendBackup(w http.ResponseWriter, r *http.Request, passwords bool) {
	if !a.backing.TryLock() {
		w.Header().Set("Retry-After", "10")
		writeProblem(w, http.StatusTooManyRequests, "another backup, or a check of the store, is under way")
		return
	}
	defer a.backing.Unlock()
	file, size, err := a.env.Backup(r.Context(), passwords)
	if err != nil {
		a.env.Log.Error("a backup failed", "error", err)
		writeProblem(w, http.StatusInsufficientStorage, err.Error())
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="freeway-`+time.Now().UTC().Format("20060102T150405Z")+`.db"`)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
	if err := sendFile(w, file); err != nil {
		a.env.Log.Warn("a backup was not taken whole", "error", err)
	}
}

// sendFile copies in chunks, each with a deadline, so that a client that stops
// reading does not hold the file for ever.
func sendFile(w http.ResponseWriter, file io.Reader) error {
	out := http.NewResponseController(w)
	for {
		if err := out.SetWriteDeadline(time.Now().Add(backupPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		_, err := io.CopyN(w, file, backupChunk)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send the copy: %w", err)
		}
	}
}

// durable refuses changes that only the store remembers while it cannot be
// written. What the pool saves before it answers says so itself.
func (a *API) durable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if remembered(r) && a.env.Pool.ReadOnly() {
			writeProblem(w, http.StatusInsufficientStorage, "the store cannot be written now, so this would be forgotten; /readyz?verbose says why")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// remembered reports whether a request changes what is to outlive the process
// and is written behind.
func remembered(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete:
	default:
		return false
	}
	for _, prefix := range []string{"/api/sources", "/api/sessions/", "/api/targets/"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return !strings.HasSuffix(r.URL.Path, "/run")
		}
	}
	return false
}
