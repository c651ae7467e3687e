package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// fromAdmin asks the admin API over the client's own connection.
func (c *client) fromAdmin(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.http.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp, err
}

// nextPage reads a page and returns the cursor of the one behind it.
func nextPage(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	var page struct {
		Items []struct{ URL string }
		Next  string
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return "", err
	}
	if len(page.Items) == 0 && page.Next != "" {
		return "", fmt.Errorf("%w: an empty page that is not the last", errWrong)
	}
	return page.Next, nil
}
