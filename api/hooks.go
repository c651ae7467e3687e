package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"freeway/internal/access"
)

// AlertSink does what alerts ask for. Its methods may be called from any goroutine.
type AlertSink interface {
	// Notify takes a notification; by is whose token it came with.
	Notify(by string, alerts []Alert) AlertsReport
	// Active lists what is in force, the oldest first.
	Active() []ActiveAlert
}

// Alert is one alert of a notification.
type Alert struct {
	_        struct{}          `json:"-" additionalProperties:"true"`
	Status   string            `json:"status" enum:"firing,resolved"`
	Labels   map[string]string `json:"labels" doc:"alertname is the alert, source the list that it is about."`
	StartsAt time.Time         `json:"startsAt"`
}

// AlertsReport says what became of the alerts of a notification; each is counted once.
type AlertsReport struct {
	Started  int `json:"started" doc:"Alerts whose action began."`
	Repeated int `json:"repeated" doc:"Alerts that were known; repeats change nothing and prolong nothing."`
	Undone   int `json:"undone" doc:"Alerts that are resolved, so that what they brought about has ended."`
	Ignored  int `json:"ignored" doc:"Alerts that no action names."`
	Failed   int `json:"failed" doc:"Alerts whose action could not be done, such as a source that does not exist."`
}

// ActiveAlert is an action in force.
type ActiveAlert struct {
	Alert  string    `json:"alert"`
	Action string    `json:"action" enum:"rest-source,check-faster"`
	Source string    `json:"source,omitempty"`
	Factor float64   `json:"factor,omitempty"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// ActiveAlerts are the actions in force.
type ActiveAlerts struct {
	Items []ActiveAlert `json:"items"`
	Total int           `json:"total"`
}

// maxHook bounds a notification, in bytes.
const maxHook = 1 << 20

// notification is what Alertmanager sends, version 4 of its format. What is not
// needed is not looked at.
type notification struct {
	_       struct{} `json:"-" additionalProperties:"true"`
	Version string   `json:"version" enum:"4" doc:"The version of Alertmanager's format."`
	Alerts  []Alert  `json:"alerts" maxItems:"2000" nullable:"false"`
}

type hookInput struct{ Body notification }

// registerHooks adds the webhook.
func (a *API) registerHooks(h huma.API) {
	if a.env.Alerts == nil {
		return
	}
	huma.Register(h, huma.Operation{OperationID: "alertmanager-hook", Method: http.MethodPost, Path: hookPath, MaxBodyBytes: maxHook, Tags: []string{"hooks"},
		Summary: "Take a notification of Alertmanager", Errors: []int{404, 422},
		Description: "Alerts that admin.alertmanager.actions names bring about what stands there, for a limited time; all others are ignored. Off while there are none: 404."}, a.alertHook)
	huma.Register(h, huma.Operation{OperationID: "list-alert-actions", Method: http.MethodGet, Path: hookPath, Tags: []string{"hooks"},
		Summary: "What alerts have brought about and is in force"}, a.activeAlerts)
}

// alertHook takes a notification.
func (a *API) alertHook(ctx context.Context, in *hookInput) (*struct{ Body AlertsReport }, error) {
	if !a.hooked {
		return nil, huma.NewError(http.StatusNotFound, "the webhook is off: admin.alertmanager.actions is empty")
	}
	return &struct{ Body AlertsReport }{a.env.Alerts.Notify(access.From(ctx).Name, in.Body.Alerts)}, nil
}

// activeAlerts lists what is in force.
func (a *API) activeAlerts(context.Context, *struct{}) (*struct{ Body ActiveAlerts }, error) {
	all := orEmpty(a.env.Alerts.Active())
	return &struct{ Body ActiveAlerts }{ActiveAlerts{all, len(all)}}, nil
}
