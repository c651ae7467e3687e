package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// StoreReport is what a check of the store found.
type StoreReport struct {
	OK        bool     `json:"ok" doc:"Nothing is wrong with it."`
	Format    int      `json:"format" doc:"Version of the format."`
	Bytes     int64    `json:"bytes" doc:"Size of the file."`
	Endpoints int      `json:"endpoints" doc:"How many it holds; 0 when something is wrong."`
	Problems  []string `json:"problems" nullable:"false" doc:"What is wrong, at most a hundred."`
}

// registerStoreCheck adds the check of the store.
func (a *API) registerStoreCheck(h huma.API) {
	if a.env.CheckStore == nil {
		return
	}
	huma.Register(h, huma.Operation{OperationID: "check-store", Method: http.MethodGet, Path: "/api/store/check", Tags: []string{"status"},
		Summary: "Read a copy of the whole store and say what is broken; admins only", Errors: []int{403, 429, 507},
		Description: "The copy is made beside the store and removed. This and GET /api/backup are done one at a time.",
	}, a.checkStore)
}

type storeCheckOutput struct{ Body StoreReport }

func (a *API) checkStore(ctx context.Context, _ *struct{}) (*storeCheckOutput, error) {
	if err := adminsOnly(ctx); err != nil {
		return nil, err
	}
	if !a.backing.TryLock() {
		return nil, huma.ErrorWithHeaders(huma.NewError(http.StatusTooManyRequests, "a backup or another check is under way"), http.Header{"Retry-After": {"10"}})
	}
	defer a.backing.Unlock()
	r, err := a.env.CheckStore(ctx)
	if err != nil {
		a.env.Log.Error("the store could not be checked", "error", err)
		return nil, huma.NewError(http.StatusInsufficientStorage, err.Error())
	}
	return &storeCheckOutput{r}, nil
}
