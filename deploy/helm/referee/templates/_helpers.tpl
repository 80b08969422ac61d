{{- define "referee.name" -}}
{{- printf "%s-referee" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "referee.selector" -}}
app.kubernetes.io/name: referee
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "referee.labels" -}}
{{ include "referee.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "referee.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}

{{- define "referee.environment" -}}
- name: REFEREE_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.urlKey }}
- name: REFEREE_PORT
  value: {{ .Values.server.port | quote }}
- name: REFEREE_WORKER_TOOL_SLOTS_COUNT
  value: {{ .Values.worker.toolSlots | quote }}
{{- with .Values.artifacts.url }}
- name: REFEREE_ARTIFACTS_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.artifacts.endpointUrl }}
- name: REFEREE_ARTIFACTS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.artifacts.region }}
- name: REFEREE_ARTIFACTS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.artifacts.existingSecret }}
- name: REFEREE_ARTIFACTS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: access-key-id}
- name: REFEREE_ARTIFACTS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: secret-access-key}
{{- end }}
{{- if and .Values.ingress.enabled .Values.server.host }}
- name: REFEREE_PUBLIC_URL
  value: {{ printf "%s://%s" (ternary "https" "http" (not (empty .Values.ingress.tlsSecret))) .Values.server.host | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "referee.pod" -}}
serviceAccountName: {{ include "referee.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: {{ .Values.seccompProfile }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: home
    persistentVolumeClaim:
      claimName: {{ default (include "referee.name" .) .Values.home.existingClaim }}
  - name: tools
    emptyDir:
      sizeLimit: {{ .Values.tools.sizeLimit }}
  - name: tmp
    emptyDir: {}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "referee.container" -}}
image: {{ include "referee.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  {{- include "referee.environment" . | nindent 2 }}
{{- with .Values.settingsSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
volumeMounts:
  - {name: home, mountPath: /var/lib/referee}
  - {name: tools, mountPath: /var/lib/referee-tools}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
