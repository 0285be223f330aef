resource "aws_iam_openid_connect_provider" "mayfly" {
  url             = "https://oidc.example.org/td1"
  client_id_list  = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "mayfly_jobs" {
  name                 = "train"
  max_session_duration = 7200
  assume_role_policy   = <<-JSON
{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.example.org/td1"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],"Condition":{"StringEquals":{"oidc.example.org/td1:aud":"sts.amazonaws.com"},"StringLike":{"oidc.example.org/td1:sub":"spiffe://example.org/*/job/*"}}}]}
JSON
}

resource "aws_iam_role_policy" "mayfly_jobs" {
  name   = "mayfly-bound"
  role   = aws_iam_role.mayfly_jobs.id
  policy = <<-JSON
{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::sets/*"]},{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::lab/runs/*/*","arn:aws:s3:::lab"]}]}
JSON
}

resource "aws_iam_role" "mayfly_revoker" {
  name                 = "mayfly-revoker"
  max_session_duration = 3600
  assume_role_policy   = <<-JSON
{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.example.org/td1"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"],"Condition":{"StringEquals":{"oidc.example.org/td1:aud":"sts.amazonaws.com"},"StringLike":{"oidc.example.org/td1:sub":"spiffe://example.org/broker/revoker"}}}]}
JSON
}

resource "aws_iam_role_policy" "mayfly_revoker" {
  name   = "mayfly-revoker"
  role   = aws_iam_role.mayfly_revoker.id
  policy = <<-JSON
{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GetRolePolicy","iam:PutRolePolicy","iam:DeleteRolePolicy"],"Resource":["arn:aws:iam::123456789012:role/train"]}]}
JSON
}
