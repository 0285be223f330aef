// The job of ../boto/job.py with the AWS SDK for JavaScript, and its loops: job.mjs BUCKET READ WRITE OTHER
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

async function status(client, command) {
  try {
    await (await client.send(command)).Body?.transformToString();
    return '200';
  } catch (e) {
    return String(e.$metadata?.httpStatusCode ?? `${e.name} ${e.message.replace(/\s+/g, ' ')}`);
  }
}
async function fresh(get, stop) {
  let calls = 0, failed = 0;
  while (!existsSync(stop)) {
    const client = new S3Client({}), begun = Date.now(), s = await status(client, get());
    client.destroy();
    calls++;
    if (s !== '200') {
      failed++;
      console.error(`after ${Date.now() - begun} ms: ${s}`);
    }
    await setTimeout(20);
  }
  console.log(`reads ${calls} failed ${failed}`);
}
async function held(get, stop) {
  const client = new S3Client({});
  let last = '';
  while (!existsSync(stop)) {
    const s = await status(client, get());
    if (s !== last) console.log('held', s);
    last = s;
    await setTimeout(500);
  }
  console.log('fresh', await status(new S3Client({}), get()));
}

const a = process.argv.slice(2);
if (a[0] === '--fresh' || a[0] === '--held') {
  await (a[0] === '--fresh' ? fresh : held)(() => new GetObjectCommand({ Bucket: a[1], Key: a[2] }), a[3]);
} else {
  const [Bucket, read, write, other] = a, s3 = new S3Client({});
  console.log('read', await status(s3, new GetObjectCommand({ Bucket, Key: read })));
  console.log('write', await status(s3, new PutObjectCommand({ Bucket, Key: write, Body: 'checkpoint of JavaScript' })));
  console.log('other', await status(s3, new GetObjectCommand({ Bucket, Key: other })));
}
