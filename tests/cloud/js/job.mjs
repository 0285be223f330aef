// The job of ../boto/job.py with the AWS SDK for JavaScript: job.mjs BUCKET READ WRITE OTHER
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

const [Bucket, read, write, other] = process.argv.slice(2);
const s3 = new S3Client({});
async function step(name, command) {
  try {
    await (await s3.send(command)).Body?.transformToString();
    console.log(name, 200);
  } catch (e) {
    console.log(name, e.$metadata?.httpStatusCode ?? `${e.name} ${e.message.replace(/\s+/g, ' ')}`);
  }
}
await step('read', new GetObjectCommand({ Bucket, Key: read }));
await step('write', new PutObjectCommand({ Bucket, Key: write, Body: 'checkpoint of JavaScript' }));
await step('other', new GetObjectCommand({ Bucket, Key: other }));
