package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"freeway/api"
)

// askCheck lets a running server check its store.
func (a *app) askCheck(ctx context.Context, server string) error {
	c, err := a.clientOf(server)
	if err != nil {
		return err
	}
	body, err := c.get(ctx, "/api/store/check", nil)
	if err != nil {
		return err
	}
	var r api.StoreReport
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("the answer of %s makes no sense: %w", c.base.Redacted(), err)
	}
	if !r.OK {
		return a.broken("the store of "+c.base.Redacted(), r.Problems)
	}
	_, err = fmt.Fprintf(a.stdout, "ok: the store of %s holds %d endpoints (format %d, %d bytes)\n", c.base.Redacted(), r.Endpoints, r.Format, r.Bytes)
	return err
}

// askBackup writes what a running server gives as a copy of its store.
func (a *app) askBackup(ctx context.Context, server string, passwords bool, w io.Writer) error {
	c, err := a.clientOf(server)
	if err != nil {
		return err
	}
	query := url.Values{}
	if passwords {
		query.Set("passwords", "true")
	} else {
		a.note("without the passwords of upstreams; --passwords asks for them")
	}
	resp, err := c.ask(ctx, "/api/backup", query)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, io.LimitReader(resp.Body, maxBackup+1))
	switch {
	case err != nil:
		return fmt.Errorf("after %d bytes of the copy: %w", n, err)
	case n > maxBackup:
		return fmt.Errorf("the copy has more than %d bytes", int64(maxBackup))
	}
	return nil
}
