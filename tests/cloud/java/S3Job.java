// The job of ../boto/job.py with the AWS SDK for Java, and its loops: job BUCKET READ WRITE OTHER
import java.io.File;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;

public final class S3Job {
	interface Step {
		void run();
	}

	static String status(Step step) {
		try {
			step.run();
			return "200";
		} catch (AwsServiceException e) {
			return String.valueOf(e.statusCode());
		} catch (RuntimeException e) {
			return e.getClass().getSimpleName() + " " + String.valueOf(e.getMessage()).replaceAll("\\s+", " ");
		}
	}

	static void read(S3Client s3, String bucket, String key) {
		s3.getObjectAsBytes(b -> b.bucket(bucket).key(key));
	}

	static void fresh(String bucket, String key, File stop) throws InterruptedException {
		int calls = 0, failed = 0;
		while (!stop.exists()) {
			long from = System.nanoTime();
			String s = status(() -> {
				try (S3Client s3 = S3Client.create()) {
					read(s3, bucket, key);
				}
			});
			calls++;
			if (!s.equals("200")) {
				failed++;
				System.err.println("after " + (System.nanoTime() - from) / 1000000 + " ms: " + s);
			}
			Thread.sleep(20);
		}
		System.out.println("reads " + calls + " failed " + failed);
	}

	static void held(String bucket, String key, File stop) throws InterruptedException {
		String last = "";
		try (S3Client s3 = S3Client.create()) {
			while (!stop.exists()) {
				String s = status(() -> read(s3, bucket, key));
				if (!s.equals(last))
					System.out.println("held " + s);
				last = s;
				Thread.sleep(500);
			}
		}
		System.out.println("fresh " + status(() -> {
			try (S3Client s3 = S3Client.create()) {
				read(s3, bucket, key);
			}
		}));
	}

	public static void main(String[] a) throws InterruptedException {
		if (a[0].equals("--fresh")) {
			fresh(a[1], a[2], new File(a[3]));
			return;
		}
		if (a[0].equals("--held")) {
			held(a[1], a[2], new File(a[3]));
			return;
		}
		try (S3Client s3 = S3Client.create()) {
			System.out.println("read " + status(() -> read(s3, a[0], a[1])));
			System.out.println("write " + status(() -> s3.putObject(b -> b.bucket(a[0]).key(a[2]), RequestBody.fromString("checkpoint of Java"))));
			System.out.println("other " + status(() -> read(s3, a[0], a[3])));
		}
	}
}
